import { useMutation } from 'urql';

import { Faults } from './Faults';
import { graphql } from './gql';
import type { Task } from './tasks';
import { When } from './When';

const Cancel = graphql(`
  mutation Cancel($id: ID!) {
    cancelTask(input: { id: $id }) {
      errors {
        ...UserErrorFields
      }
    }
  }
`);

const RunNow = graphql(`
  mutation RunNow($id: ID!) {
    runTaskNow(input: { id: $id }) {
      errors {
        ...UserErrorFields
      }
    }
  }
`);

export function TaskList({ tasks, reading }: { tasks: Task[]; reading: boolean }) {
  if (tasks.length === 0) return <p className="none">{reading ? 'Reading …' : 'Nothing to do yet.'}</p>;
  return (
    <ul className="tasks">
      {tasks.map((task) => (
        <Row key={task.id} task={task} />
      ))}
    </ul>
  );
}

/** What a change brought is told live: its answer is read for what was refused alone. */
function Row({ task }: { task: Task }) {
  const [cancelled, cancel] = useMutation(Cancel);
  const [run, runNow] = useMutation(RunNow);
  const refused = [...(cancelled.data?.cancelTask.errors ?? []), ...(run.data?.runTaskNow.errors ?? [])];
  const ended = ['SUCCEEDED', 'FAILED', 'CANCELLED'].includes(task.state);
  const started = ['QUEUED', 'RUNNING'].includes(task.state);

  return (
    <li>
      <div className="about">
        <h3>{task.title}</h3>
        <p>
          <span className={`state ${task.state.toLowerCase()}`}>{task.state.toLowerCase()}</span>{' '}
          {task.action.run?.handler ?? (task.action.kind === 'HTTP' ? 'webhook' : 'reminder')}, due <When at={task.scheduledAt} />
          {task.attempt > 1 && `, attempt ${task.attempt}`}
        </p>
        {task.error && <p className="fault">{task.error.message}</p>}
        {task.action.run && task.state === 'SUCCEEDED' && <p><code>{JSON.stringify(task.result)}</code></p>}
        <Faults error={cancelled.error ?? run.error} texts={refused.map(({ code, message }) => `${message} (${code})`)} />
      </div>
      <div className="buttons">
        {!started && (
          <button aria-label={`${ended ? 'Run again' : 'Run now'}: ${task.title}`} disabled={run.fetching} onClick={() => runNow({ id: task.id })}>
            {ended ? 'Run again' : 'Run now'}
          </button>
        )}
        {!ended && (
          <button aria-label={`Cancel: ${task.title}`} disabled={cancelled.fetching} onClick={() => cancel({ id: task.id })}>
            Cancel
          </button>
        )}
      </div>
    </li>
  );
}
