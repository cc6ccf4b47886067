/** A function of a module's own, and the others that it calls. */
export interface Helper {
  readonly needs: readonly string[];
  readonly text: string;
}

/** Python text, moved to the left margin; its own line breaks and backslashes are kept as they are. */
export function python(strings: TemplateStringsArray): string {
  const lines = strings.raw[0].replaceAll('\\`', '`').replace(/^\n/, '').trimEnd().split('\n');
  const margin = Math.min(
    ...lines.filter((l) => l.trim() !== '').map((l) => l.length - l.trimStart().length),
  );
  return lines.map((l) => l.slice(margin)).join('\n');
}
