import { cloneElement, useId, type ReactElement } from 'react';

type Props = {
  label: string;
  hint?: string | undefined;
  /** What is wrong with it; told to those who cannot see it, too. */
  faults?: string[];
  children: ReactElement<Record<string, unknown>>;
};

export function Field({ label, hint, faults = [], children }: Props) {
  const id = useId();
  const described = [hint && `${id}-hint`, faults.length && `${id}-faults`].filter(Boolean).join(' ');
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {cloneElement(children, {
        id,
        'aria-describedby': described || undefined,
        'aria-invalid': faults.length ? true : undefined,
      })}
      {hint && <p id={`${id}-hint`} className="hint">{hint}</p>}
      {faults.length > 0 && <p id={`${id}-faults`} className="fault">{faults.join(' ')}</p>}
    </div>
  );
}
