/*
 * signin.jsx - e-mail and password. The same words for an unknown account and a wrong password.
 */
import { useEffect, useState } from 'preact/hooks';
import { t } from '../lib/i18n.js';
import { post } from '../lib/api.js';
import { go, safe_next } from '../lib/router.js';
import { signed_in, status, user } from '../lib/session.js';
import { Field, FormFault, PageHead, Password, useForm } from '../ui/parts.jsx';
import { Mark } from '../ui/icons.jsx';

export default function SignIn({ query }) {
  const st = status.get();
  const hint = st.sign_in_hint;
  const [email, set_email] = useState('');
  const [password, set_password] = useState('');
  const next = safe_next(query.get('next'));
  useEffect(() => { if (user.get()) go(next, { replace: true }); }, []);
  const f = useForm(async () => {
    const u = await post('/v1/session', { email: email.trim(), password }, { anonymous: true });
    signed_in(u);
    go(next, { replace: true });
  });
  return (
    <div class="door">
      <Mark size={40} />
      <PageHead title={t('signin.title', { title: st.title || 'Postern' })} doc_title={t('signin.go')} />
      {query.get('ended') && !f.fault && <div class="notice warn" role="status"><p>{t('signin.ended')}</p></div>}
      {st.setup_needed && <div class="notice warn"><p>{t('signin.setup')}</p><pre tabIndex={0}><code>postern user setup-link</code></pre></div>}
      <form ref={f.form} onSubmit={f.submit}>
        <FormFault fault={f.fault} />
        <Field label={t('email')}>{(p) => <input {...p} type="email" name="email" autoComplete="username" required value={email} onInput={(ev) => set_email(ev.target.value)} />}</Field>
        <Field label={t('password')}>{(p) => <Password {...p} name="password" auto="current-password" required value={password} onInput={(ev) => set_password(ev.target.value)} />}</Field>
        <button type="submit" class="button primary full" disabled={f.busy}>{t('signin.go')}</button>
      </form>
      {hint && (
        <div class="notice info">
          <p>{t('signin.demo')}</p>
          <p><code>{hint.email}</code></p>
          <p><code>{hint.password}</code></p>
          <button type="button" class="button" onClick={() => { set_email(hint.email); set_password(hint.password); }}>{t('signin.fill')}</button>
        </div>
      )}
      {st.public_catalogue && <p class="small"><a href="/apis">{t('signin.look')}</a></p>}
    </div>
  );
}
