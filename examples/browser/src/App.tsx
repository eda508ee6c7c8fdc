import { useEffect, useState } from 'react';
import { Provider } from 'urql';

import { Board } from './Board';
import { connect, type Connection, type Credentials } from './connection';
import { SignIn } from './SignIn';

const KEPT = 'carillon'; // in this tab, until it is closed

export function App() {
  const [credentials, setCredentials] = useState<Credentials | null>(() => JSON.parse(sessionStorage.getItem(KEPT) ?? 'null'));
  const [refused, setRefused] = useState(false);

  const signIn = (given: Credentials) => {
    sessionStorage.setItem(KEPT, JSON.stringify(given));
    setRefused(false);
    setCredentials(given);
  };
  const signOut = (because: { refused: boolean }) => {
    sessionStorage.removeItem(KEPT);
    setRefused(because.refused);
    setCredentials(null);
  };

  if (!credentials) return <SignIn refused={refused} onSignIn={signIn} />;
  return <Connected credentials={credentials} onSignOut={signOut} />;
}

type Props = { credentials: Credentials; onSignOut(because: { refused: boolean }): void };

function Connected({ credentials, onSignOut }: Props) {
  const [connection, setConnection] = useState<Connection>();
  const [live, setLive] = useState(false);
  const [beginnings, setBeginnings] = useState(0);

  useEffect(() => {
    const opened = connect(credentials, {
      begun() {
        setLive(true);
        setBeginnings((count) => count + 1);
      },
      interrupted: () => setLive(false),
      refused: () => onSignOut({ refused: true }),
    });
    setConnection(opened);
    return opened.close;
  }, [credentials]);

  if (!connection) return null;
  return (
    <Provider value={connection.client}>
      <Board live={live} beginnings={beginnings} onSignOut={() => onSignOut({ refused: false })} />
    </Provider>
  );
}
