// What is told live: notifications, and every change of a task.
import type { Notification } from './notifications';
import type { Change } from './tasks';
import { When } from './When';

const SAID: Record<Notification['kind'], string> = {
  TASK_DUE: 'Due',
  TASK_SUCCEEDED: 'Done',
  TASK_FAILED: 'Failed',
  TASK_CANCELLED: 'Cancelled',
  SCHEDULE_MISFIRED: 'Missed',
};

export function Notifications({ notifications }: { notifications: Notification[] }) {
  return (
    <div role="log" aria-labelledby="notifications">
      {notifications.length === 0 && <p className="none">Nobody was told anything yet.</p>}
      <ol className="told">
        {notifications.map(({ id, kind, title, body, createdAt }) => (
          <li key={id}>
            <p><strong>{SAID[kind]}</strong> {title} <When at={createdAt} /></p>
            {body && <p className="body">{body}</p>}
          </li>
        ))}
      </ol>
    </div>
  );
}

export function Changes({ changes }: { changes: Change[] }) {
  if (changes.length === 0) return <p className="none">Every change of a task is told here.</p>;
  return (
    <ol className="told">
      {changes.map(({ id, kind, at, task }) => (
        <li key={id}>
          <p><strong>{kind.toLowerCase()}</strong> {task?.title ?? 'a task that is gone'} <When at={at} /></p>
        </li>
      ))}
    </ol>
  );
}
