import { FolderOpen, Languages, Search, Settings, SquareTerminal } from 'lucide-react'
import { lazy, Suspense, useEffect, useState } from 'react'
import { checkSession, onSignedIn } from '../../api/client.ts'
import { getLocale, setLocale } from '../../app/i18n.ts'
import { isWatching } from '../../domain/bastion.ts'
import { plainText } from '../../domain/plainText.ts'
import { Button } from '../../ui/Button.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { IconButton } from '../../ui/IconButton.tsx'
import { Mark } from '../../ui/Mark.tsx'
import { Banners } from '../Banners.tsx'
import { Refusal } from '../Refusal.tsx'
import { StatusBar } from '../StatusBar.tsx'
import { useTitle } from '../useTitle.ts'
import { FindBar } from './FindBar.tsx'
import { common } from '../messages.ts'
import { m } from './messages.ts'
import { nameOfSession } from './names.ts'
import { loadPrefs } from './prefs.ts'
import type { Exit } from './protocol.ts'
import type { TerminalSession } from './session.ts'
import { TabBar } from './TabBar.tsx'
import { closeTab, reopen, restore, useTabs } from './tabs.ts'
import { TerminalView } from './TerminalView.tsx'

const CloseDialog = lazy(async () => ({ default: (await import('../CloseDialog.tsx')).CloseDialog }))
const SettingsDialog = lazy(async () => ({ default: (await import('./SettingsDialog.tsx')).SettingsDialog }))
const QuestionDialog = lazy(async () => ({ default: (await import('./QuestionDialog.tsx')).QuestionDialog }))
const FilePanel = lazy(() => import('../files/FilePanel.tsx'))

let isRestored = false

function exitText({ status, signal }: Exit) {
  if (signal !== null) return m.exitSignal(plainText(signal))
  if (status === null) return
  return status === 0 ? m.exitOk : m.exitStatus(status)
}

export default function TerminalApp({ personId }: { personId: string }) {
  const { sessions, current: currentKey } = useTabs()
  useEffect(() => {
    // Once, whatever React or a change of the language does.
    if (isRestored) return
    isRestored = true
    loadPrefs(personId)
    restore()
  }, [personId])
  const current = sessions.find(({ key }) => key === currentKey)
  if (current) return <Window sessions={sessions} current={current} />
  return (
    <main className="grid h-screen place-items-center">
      <EmptyState
        icon={<SquareTerminal size={20} aria-hidden />}
        title={common.nowhere}
        action={
          <a className="text-accent underline" href="/machines">
            {common.portal}
          </a>
        }
      >
        {m.nowhereWhy}
      </EmptyState>
    </main>
  )
}

function Window({ sessions, current }: { sessions: readonly TerminalSession[]; current: TerminalSession }) {
  const { link, ready, title, exit, question, isFinding } = current.use()
  const [isSettings, setSettings] = useState(false)
  const [isFiles, setFiles] = useState(false)
  const [closing, setClosing] = useState<TerminalSession>()
  const name = nameOfSession(current)
  useTitle(name, title)
  // What was refused for want of a sign-in is asked for again.
  useEffect(
    () =>
      onSignedIn((session) => {
        if (!session) return
        for (const one of sessions) if (one.shown.link.is === 'refused') one.connect()
      }),
    [sessions],
  )
  const close = (session: TerminalSession) => {
    if (session.shown.link.is === 'open') setClosing(session)
    else closeTab(session)
  }
  const files = ready && ready.mode === 'own' && (ready.upload || ready.download) && current.files
  return (
    <div className="flex h-screen min-h-0 flex-col bg-bg">
      <header className="flex h-10 shrink-0 items-end gap-2 border-b border-line px-3">
        <a href="/sessions" aria-label={common.portal} className="mb-1.5">
          <Mark size={20} />
        </a>
        <TabBar sessions={sessions} current={current} onClose={close} />
        <div className="mb-1 flex items-center gap-1">
          {files && (
            <Button size="sm" variant="ghost" aria-expanded={isFiles} onPress={() => setFiles(!isFiles)}>
              <FolderOpen size={14} aria-hidden />
              {m.files}
            </Button>
          )}
          <IconButton compact label={m.find} onPress={() => current.setFinding(!isFinding)}>
            <Search size={14} aria-hidden />
          </IconButton>
          <IconButton compact label={m.settings} onPress={() => setSettings(true)}>
            <Settings size={14} aria-hidden />
          </IconButton>
          <IconButton compact label={common.language} onPress={() => setLocale(getLocale() === 'ja' ? 'en' : 'ja')}>
            <Languages size={14} aria-hidden />
          </IconButton>
          {link.is === 'open' && (
            <Button size="sm" onPress={() => setClosing(current)}>
              {isWatching(current.target) ? common.leave : common.end}
            </Button>
          )}
        </div>
      </header>
      <Banners session={current} />
      <div className="flex min-h-0 flex-1">
        <main className="relative min-w-0 flex-1">
          {sessions.map((session) => (
            <TerminalView
              key={session.key}
              session={session}
              name={nameOfSession(session)}
              isCurrent={session === current}
            />
          ))}
          {isFinding && <FindBar key={current.key} session={current} />}
          {link.is === 'refused' && (
            <div className="absolute inset-0 grid bg-bg/95">
              <Refusal
                error={link.error}
                onRetry={() => {
                  void checkSession().catch(() => undefined)
                  current.connect()
                }}
              />
            </div>
          )}
        </main>
        {files && isFiles && (
          <Suspense>
            <FilePanel key={current.key} at={files} policy={ready} onClose={() => setFiles(false)} />
          </Suspense>
        )}
      </div>
      <StatusBar
        session={current}
        how={exit && exitText(exit)}
        onAgain={() => reopen(current)}
        onClose={() => closeTab(current)}
      />
      <Suspense>
        {isSettings && <SettingsDialog onClose={() => setSettings(false)} />}
        {question && <QuestionDialog session={current} question={question} />}
        {closing && (
          <CloseDialog
            session={closing}
            name={nameOfSession(closing)}
            isWatching={isWatching(closing.target)}
            onClose={() => setClosing(undefined)}
          />
        )}
      </Suspense>
    </div>
  )
}
