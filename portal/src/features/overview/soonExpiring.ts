import type { EnrolmentToken } from '../../api/types.ts'

const hourMs = 3_600_000

/** Tokens that are still open for machines but run out within the hour, and those that already have. */
export const soonExpiring = (tokens: EnrolmentToken[]) =>
  tokens.filter(
    ({ properties: { expiresAt, uses, maxUses } }) => uses < maxUses && Date.parse(expiresAt) - Date.now() < hourMs,
  ).length
