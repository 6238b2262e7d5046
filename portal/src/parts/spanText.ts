import { num, plural } from '../app/format.ts'
import { messages } from '../app/i18n.ts'

const m = messages({
  minutes: { en: (n: number) => plural(n, 'minute', 'minutes'), ja: (n: number) => `${num(n)} 分` },
  hours: { en: (n: number) => plural(n, 'hour', 'hours'), ja: (n: number) => `${num(n)} 時間` },
})

/** A span of minutes in the words people use for it. */
export const spanText = (minutes: number) => (minutes % 60 === 0 ? m.hours(minutes / 60) : m.minutes(minutes))

/** The spans that are offered for a role, in minutes. */
export const usualSpans = [30, 60, 120, 240, 480, 720, 1440]
