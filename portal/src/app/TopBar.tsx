import { useNavigate } from '@tanstack/react-router'
import { ChevronDown, Keyboard, Languages, Laptop, LogOut, Moon, Search, Sun } from 'lucide-react'
import { Button as AriaButton } from 'react-aria-components'
import { signOut } from '../api/client.ts'
import { IconButton } from '../ui/IconButton.tsx'
import { Menu } from '../ui/Menu.tsx'
import { ago } from './format.ts'
import { getLocale, messages, setLocale } from './i18n.ts'
import { navText } from './nav.ts'
import { OperationButton } from './OperationButton.tsx'
import { useScope } from './scope.ts'
import { ScopePicker } from './ScopePicker.tsx'
import { setTheme, useTheme } from './theme.ts'
import { leave } from './unsaved.ts'

const m = messages({
  search: { en: 'Search machines, groups, actions', ja: 'マシン・グループ・操作を検索' },
  language: { en: '日本語に切り替え', ja: 'Switch to English' },
  dark: { en: 'Dark theme', ja: 'ダーク テーマ' },
  light: { en: 'Light theme', ja: 'ライト テーマ' },
  account: { en: 'Account', ja: 'アカウント' },
  shortcuts: { en: 'Keyboard shortcuts', ja: 'キーボード ショートカット' },
  signOut: { en: 'Sign out', ja: 'サインアウト' },
  signedIn: { en: (when: string) => `Signed in ${when}`, ja: (when: string) => `サインイン: ${when}` },
})

export function TopBar({ onSearch, onHelp }: { onSearch: () => void; onHelp: () => void }) {
  const navigate = useNavigate()
  const theme = useTheme()
  const { session } = useScope()

  const quit = async () => {
    await signOut()
    location.assign('/signin')
  }

  return (
    <header className="flex min-w-0 items-center gap-2 border-b border-line bg-surface px-5">
      <ScopePicker />
      <AriaButton
        onPress={onSearch}
        className="mx-auto flex h-8 w-[min(440px,34vw)] items-center gap-2 rounded-md border border-line bg-sunken px-2.5 text-sm text-ink-3 hover:border-line-strong"
      >
        <Search size={15} aria-hidden />
        <span className="truncate">{m.search}</span>
        <kbd className="ml-auto rounded border border-line-strong bg-surface px-1.5 font-sans text-2xs text-ink-2">
          Ctrl K
        </kbd>
      </AriaButton>
      <OperationButton />
      <IconButton label={m.language} onPress={() => void leave(() => setLocale(getLocale() === 'ja' ? 'en' : 'ja'))}>
        <Languages size={16} aria-hidden />
      </IconButton>
      <IconButton
        label={theme === 'dark' ? m.light : m.dark}
        onPress={() => setTheme(theme === 'dark' ? 'light' : 'dark')}
      >
        {theme === 'dark' ? <Sun size={16} aria-hidden /> : <Moon size={16} aria-hidden />}
      </IconButton>
      <Menu
        label={m.account}
        header={
          <div className="border-b border-line px-2.5 pt-1.5 pb-2">
            <p className="text-sm font-medium">{session.person.displayName}</p>
            <p className="text-xs text-ink-2">{session.person.userPrincipalName}</p>
            <p className="mt-1 text-xs text-ink-3">{m.signedIn(ago(session.auth.at))}</p>
          </div>
        }
        actions={[
          {
            id: 'sessions',
            text: navText.signIns,
            label: (
              <>
                <Laptop size={14} aria-hidden /> {navText.signIns}
              </>
            ),
            onAction: () => void navigate({ to: '/sign-ins' }),
          },
          {
            id: 'shortcuts',
            text: m.shortcuts,
            label: (
              <>
                <Keyboard size={14} aria-hidden /> {m.shortcuts}
              </>
            ),
            onAction: onHelp,
          },
          {
            id: 'signout',
            text: m.signOut,
            label: (
              <>
                <LogOut size={14} aria-hidden /> {m.signOut}
              </>
            ),
            onAction: () => void leave(() => void quit()),
          },
        ]}
      >
        <AriaButton className="flex h-8 items-center gap-2 rounded-md pr-1.5 pl-1 text-sm hover:bg-sunken">
          <span
            aria-hidden
            className="grid size-6 place-items-center rounded-full bg-accent text-2xs font-semibold text-accent-ink"
          >
            {[...session.person.displayName][0]}
          </span>
          <span className="max-w-40 truncate">{session.person.displayName}</span>
          <ChevronDown size={14} className="text-ink-3" aria-hidden />
        </AriaButton>
      </Menu>
    </header>
  )
}
