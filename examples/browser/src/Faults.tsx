// What went wrong, of both kinds: what the caller can put right, and everything else.
import type { CombinedError } from 'urql';

import { graphql } from './gql';
import type { UserErrorFieldsFragment } from './gql/graphql';

graphql(`
  fragment UserErrorFields on UserError {
    code
    message
    path
  }
`);

/** Those about the field at this path, or anything in it. */
export function about(errors: UserErrorFieldsFragment[], path: string[]): string[] {
  return errors.filter((error) => path.every((name, place) => error.path?.[place] === name)).map(said);
}

/** Those that none of these paths shows. */
export function elsewhere(errors: UserErrorFieldsFragment[], ...paths: string[][]): string[] {
  const shown = new Set(paths.flatMap((path) => about(errors, path)));
  return errors.map(said).filter((text) => !shown.has(text));
}

function said({ code, message }: UserErrorFieldsFragment): string {
  return `${message} (${code})`;
}

type Props = { error?: CombinedError | undefined; texts?: string[] };

/** Errors of the response, by their codes, and texts; nothing when there are none. */
export function Faults({ error, texts = [] }: Props) {
  const lines = [...texts];
  if (error?.networkError) lines.push('Carillon cannot be reached just now: try again.');
  for (const { message, extensions } of error?.graphQLErrors ?? []) {
    lines.push(`${message} (${extensions['code'] ?? 'unknown'})${extensions['retryable'] ? ': try again.' : ''}`);
  }
  if (lines.length === 0) return null;
  return (
    <div role="alert" className="fault">
      {lines.map((line) => (
        <p key={line}>{line}</p>
      ))}
    </div>
  );
}
