import { useState, type ChangeEvent, type FormEvent } from 'react';
import { useMutation } from 'urql';

import { about, elsewhere, Faults } from './Faults';
import { Field } from './Field';
import { graphql } from './gql';
import type { ActionInput, UserErrorFieldsFragment, WhoQuery } from './gql/graphql';

const Create = graphql(`
  mutation Create($input: CreateTaskInput!) {
    createTask(input: $input) {
      created
      errors {
        ...UserErrorFields
      }
    }
  }
`);

const TITLE = ['input', 'title'];
const DUE = ['input', 'scheduledAt'];
const BODY = ['input', 'action', 'notify', 'body'];
const PAYLOAD = ['input', 'action', 'run', 'payload'];
const EMPTY = { title: '', due: '', handler: '', body: '', payload: '{}' };
const NO_JSON: UserErrorFieldsFragment = { code: 'INVALID', message: 'This is not JSON', path: PAYLOAD };

export function CreateTask({ handlers }: { handlers: WhoQuery['handlers'] }) {
  const [form, setForm] = useState(EMPTY);
  const [key, setKey] = useState(newKey);
  const [errors, setErrors] = useState<UserErrorFieldsFragment[]>([]);
  const [made, setMade] = useState('');
  const [{ fetching, error }, create] = useMutation(Create);

  const set = (name: keyof typeof form) => (event: ChangeEvent<HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement>) =>
    setForm({ ...form, [name]: event.target.value });

  async function submit(event: FormEvent) {
    event.preventDefault();
    setMade('');
    const action = actionOf(form);
    if (!action) return setErrors([NO_JSON]);
    const scheduledAt = form.due ? new Date(form.due).toISOString() : null;
    const { data } = await create({ input: { title: form.title, scheduledAt, action, key } });
    setErrors(data?.createTask.errors ?? []);
    if (!data || data.createTask.errors.length > 0) return; // sent again under its key, it still makes one task
    setMade(`“${form.title}” is made.`);
    setForm({ ...EMPTY, handler: form.handler, payload: form.payload });
    setKey(newKey());
  }

  const chosen = handlers.find(({ name }) => name === form.handler);
  return (
    <section aria-labelledby="create">
      <h2 id="create">New task</h2>
      <form onSubmit={submit} noValidate className="create">
        <Field label="Title" faults={about(errors, TITLE)}>
          <input value={form.title} onChange={set('title')} autoComplete="off" />
        </Field>
        <Field label="Due" hint="Empty means now." faults={about(errors, DUE)}>
          <input type="datetime-local" step="1" value={form.due} onChange={set('due')} />
        </Field>
        <Field label="What it does" hint={chosen?.description ?? undefined}>
          <select value={form.handler} onChange={set('handler')}>
            <option value="">Remind me</option>
            {handlers.map(({ name }) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </Field>
        {form.handler ? (
          <Field label="Payload" hint="Its arguments by name, as JSON." faults={about(errors, PAYLOAD)}>
            <textarea value={form.payload} onChange={set('payload')} rows={2} spellCheck={false} />
          </Field>
        ) : (
          <Field label="What it says" faults={about(errors, BODY)}>
            <textarea value={form.body} onChange={set('body')} rows={2} />
          </Field>
        )}
        <Faults error={error} texts={elsewhere(errors, TITLE, DUE, BODY, PAYLOAD)} />
        <p className="made">
          <button className="main" disabled={fetching}>Create</button> <span role="status">{made}</span>
        </p>
      </form>
    </section>
  );
}

/** Null when the payload cannot be read. */
function actionOf({ handler, body, payload }: typeof EMPTY): ActionInput | null {
  if (!handler) return { notify: { body: body || null } };
  try {
    return { run: { handler, payload: JSON.parse(payload) } };
  } catch {
    return null;
  }
}

function newKey(): string {
  return crypto.randomUUID();
}
