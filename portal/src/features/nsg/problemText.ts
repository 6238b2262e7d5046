import type { Problem } from '../../domain/rules.ts'
import { m } from './messages.ts'

/** Nothing is said about a field that is merely still empty in a form just opened. */
export function problemText(found: { problem: Problem; text?: string } | undefined, untouched: boolean) {
  if (!found || (untouched && found.problem.endsWith('Empty'))) return
  const text = m[found.problem]
  return typeof text === 'function' ? text(found.text ?? '') : text
}
