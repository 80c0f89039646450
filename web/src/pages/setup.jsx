/*
 * setup.jsx - what a one-time link opens: the first account, an invited one, or a new password.
 */
import { t } from '../lib/i18n.js';
import { get, post } from '../lib/api.js';
import { go } from '../lib/router.js';
import { useLoad } from '../lib/load.js';
import { signed_in, status } from '../lib/session.js';
import { Empty, Field, FormFault, Loading, PageHead, Password, Time, useForm } from '../ui/parts.jsx';
import { Mark } from '../ui/icons.jsx';

const TITLES = { setup: 'setup.title', invite: 'setup.invite', reset: 'setup.reset' };

export default function Setup({ query }) {
  const token = query.get('token') || '';
  const load = useLoad(() => get(`/v1/setup?token=${encodeURIComponent(token)}`, { anonymous: true }), [token]);
  const known = load.data?.email;
  const f = useForm(async (v) => {
    const u = await post('/v1/setup', known ? { token, password: v.password } : { token, email: v.email.trim(), name: v.name.trim(), password: v.password }, { anonymous: true });
    signed_in(u);
    go('/apis', { replace: true });
  });
  if (load.fault) {
    return (
      <div class="door">
        <Mark size={40} />
        <PageHead title={t('setup.gone')} />
        <Empty title={t('setup.gone.title')} command={status.get().setup_needed ? 'postern user setup-link' : 'postern user reset-password EMAIL'}><p>{t('setup.gone.text')}</p></Empty>
        <p class="small"><a href="/signin">{t('signin.go')}</a></p>
      </div>
    );
  }
  if (!load.data) return <Loading slow={load.slow} />;
  const fields = known ? ['password'] : ['email', 'name', 'password'];
  return (
    <div class="door">
      <Mark size={40} />
      <PageHead title={t(TITLES[load.data.kind] || 'setup.title')} lead={known ? t('setup.for', { email: known }) : t('setup.lead')} />
      <form ref={f.form} onSubmit={f.submit}>
        <FormFault fault={f.fault} fields={fields} />
        {!known && <Field label={t('email')} error={f.error_of('email')}>{(p) => <input {...p} type="email" name="email" autoComplete="username" required />}</Field>}
        {!known && <Field label={t('name')} error={f.error_of('name')}>{(p) => <input {...p} type="text" name="name" autoComplete="name" required />}</Field>}
        {known && <input type="email" class="sr" tabIndex={-1} aria-hidden="true" autoComplete="username" value={known} readOnly />}
        <Field label={t('password')} hint={t('password.hint')} error={f.error_of('password')}>{(p) => <Password {...p} name="password" auto="new-password" required />}</Field>
        <button type="submit" class="button primary full" disabled={f.busy}>{t('setup.go')}</button>
      </form>
      {load.data.expires_at && <p class="small muted">{t('setup.until')} <Time iso={load.data.expires_at} /></p>}
    </div>
  );
}
