import { useQuery } from 'urql';

import { Changes, Notifications } from './Told';
import { CreateTask } from './CreateTask';
import { Faults } from './Faults';
import { graphql } from './gql';
import { TaskList } from './TaskList';
import { useNotifications } from './notifications';
import { useTasks } from './tasks';

const Who = graphql(`
  query Who {
    viewer {
      tenant
      role
      owner
    }
    handlers {
      name
      description
    }
  }
`);

type Props = { live: boolean; beginnings: number; onSignOut(): void };

export function Board({ live, beginnings, onSignOut }: Props) {
  const { tasks, changes, reading, error } = useTasks(beginnings);
  const { notifications, error: untold } = useNotifications(beginnings);
  const [who] = useQuery({ query: Who });
  const viewer = who.data?.viewer;

  return (
    <>
      <header>
        <h1>Carillon</h1>
        <p role="status" className={live ? 'live' : 'waiting'}>{live ? 'Live' : 'Connecting …'}</p>
        {viewer && <p className="who">{viewer.owner ?? viewer.tenant}, {viewer.role.toLowerCase()}</p>}
        <button onClick={onSignOut}>Sign out</button>
      </header>
      <main className="board">
        <div>
          <CreateTask handlers={who.data?.handlers ?? []} />
          <section aria-labelledby="tasks">
            <h2 id="tasks">Tasks</h2>
            <Faults error={error ?? who.error} />
            <TaskList tasks={tasks} reading={reading} />
          </section>
        </div>
        <div>
          <section aria-labelledby="notifications">
            <h2 id="notifications">Notifications</h2>
            <Faults error={untold} />
            <Notifications notifications={notifications} />
          </section>
          <section aria-labelledby="changes">
            <h2 id="changes">Happening now</h2>
            <Changes changes={changes} />
          </section>
        </div>
      </main>
    </>
  );
}
