export type Tone = 'crit' | 'high' | 'med' | 'low' | 'ok' | 'info' | 'accent'
