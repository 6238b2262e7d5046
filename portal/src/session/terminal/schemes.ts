import type { ITheme } from '@xterm/xterm'

export const schemeIds = ['portal', 'dark', 'light', 'contrast'] as const
export type SchemeId = (typeof schemeIds)[number]
type Scheme = { colours: ITheme; /** WCAG's, between a letter and what is behind it. */ contrast: number }

const dark: Scheme = {
  contrast: 4.5,
  colours: {
    background: '#0d1119',
    foreground: '#e8ecf5',
    cursor: '#86a9ff',
    cursorAccent: '#0d1119',
    selectionBackground: '#34518f',
    black: '#1a2130',
    red: '#ff7d97',
    green: '#5fd394',
    yellow: '#e6bd55',
    blue: '#86a9ff',
    magenta: '#d59bff',
    cyan: '#66cbe3',
    white: '#d5dbe8',
    brightBlack: '#8b96ad',
    brightRed: '#ff9db0',
    brightGreen: '#8be5b2',
    brightYellow: '#f2d27e',
    brightBlue: '#adc5ff',
    brightMagenta: '#e5bfff',
    brightCyan: '#93def0',
    brightWhite: '#ffffff',
  },
}

const light: Scheme = {
  contrast: 4.5,
  colours: {
    background: '#ffffff',
    foreground: '#141a26',
    cursor: '#2150b5',
    cursorAccent: '#ffffff',
    selectionBackground: '#b7caf2',
    black: '#141a26',
    red: '#b3123b',
    green: '#14713f',
    yellow: '#8a6100',
    blue: '#2150b5',
    magenta: '#7a2aa8',
    cyan: '#0b6077',
    white: '#636d82',
    brightBlack: '#465064',
    brightRed: '#c92a52',
    brightGreen: '#1b8a4e',
    brightYellow: '#9a6e00',
    brightBlue: '#2f63cf',
    brightMagenta: '#9140c4',
    brightCyan: '#11748f',
    brightWhite: '#141a26',
  },
}

const contrast: Scheme = {
  contrast: 7,
  colours: {
    ...dark.colours,
    background: '#000000',
    foreground: '#ffffff',
    cursor: '#ffff00',
    cursorAccent: '#000000',
    selectionBackground: '#ffff00',
    selectionForeground: '#000000',
    black: '#000000',
    white: '#ffffff',
    brightBlack: '#bfbfbf',
  },
}

export const schemeOf = (id: SchemeId, portal: 'dark' | 'light') =>
  ({ portal: portal === 'dark' ? dark : light, dark, light, contrast })[id]
