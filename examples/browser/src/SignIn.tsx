import type { FormEvent } from 'react';

import type { Credentials } from './connection';
import { Field } from './Field';

type Props = { refused: boolean; onSignIn(credentials: Credentials): void };

export function SignIn({ refused, onSignIn }: Props) {
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget);
    onSignIn({ address: String(given.get('address')), token: String(given.get('token')).trim() });
  };
  return (
    <main className="sign-in">
      <h1>Carillon</h1>
      <form onSubmit={submit}>
        {refused && <p role="alert" className="fault">This token is not valid, or not any more.</p>}
        <Field label="Where Carillon is">
          <input name="address" type="url" required defaultValue="http://127.0.0.1:8000" />
        </Field>
        <Field label="Access token" hint="As carillon tokens create prints it: crl_… With bin/dev, none.">
          <input name="token" type="password" autoComplete="current-password" />
        </Field>
        <button className="main">Connect</button>
      </form>
    </main>
  );
}
