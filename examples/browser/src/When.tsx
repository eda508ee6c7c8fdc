/** An instant, as people here write it; of today, the time alone. */
export function When({ at }: { at: string }) {
  const instant = new Date(at);
  const today = instant.toDateString() === new Date().toDateString();
  return <time dateTime={at}>{today ? instant.toLocaleTimeString() : instant.toLocaleString()}</time>;
}
