/*
 * password.jsx - change one's own password.
 */
import { t } from '../lib/i18n.js';
import { put } from '../lib/api.js';
import { Dialog, Field, FormFault, Password, say, useForm } from './parts.jsx';

export default function ChangePassword({ onClose }) {
  const f = useForm(async (v) => {
    await put('/v1/me/password', { current: v.current, password: v.password });
    say(t('password.changed'));
    onClose();
  });
  return (
    <Dialog title={t('password.change')} onClose={onClose}>
      <form ref={f.form} onSubmit={f.submit}>
        <FormFault fault={f.fault} fields={['current', 'password']} />
        <Field label={t('password.current')} error={f.error_of('current')}>{(p) => <Password {...p} name="current" auto="current-password" required />}</Field>
        <Field label={t('password.new')} hint={t('password.hint')} error={f.error_of('password')}>{(p) => <Password {...p} name="password" auto="new-password" required />}</Field>
        <div class="actions end">
          <button type="button" class="button" onClick={onClose}>{t('cancel')}</button>
          <button type="submit" class="button primary" disabled={f.busy}>{t('password.change')}</button>
        </div>
      </form>
    </Dialog>
  );
}
