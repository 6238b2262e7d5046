import { useQuery } from '@tanstack/react-query'
import { Download, Pause, Play } from 'lucide-react'
import { type ReactNode, useEffect, useRef, useState } from 'react'
import type { Recording } from '../../api/queries/bastion.ts'
import { dateTime } from '../../app/format.ts'
import { nameOf } from '../../domain/armId.ts'
import { isDesktop, readRecording, type RecordingTarget, targetName } from '../../domain/bastion.ts'
import { plainText, shortened } from '../../domain/plainText.ts'
import { Button } from '../../ui/Button.tsx'
import { Checkbox } from '../../ui/Checkbox.tsx'
import { EmptyState } from '../../ui/EmptyState.tsx'
import { Mark } from '../../ui/Mark.tsx'
import { SearchField } from '../../ui/SearchField.tsx'
import { Select } from '../../ui/Select.tsx'
import { Refusal } from '../Refusal.tsx'
import { saveBlob } from '../saveBlob.ts'
import { useTitle } from '../useTitle.ts'
import { exportRecording, type ExportFormat, findRecording, getEvents, getFrames } from './api.ts'
import type { SessionEvent } from './events.ts'
import { clock } from './frames.ts'
import { m } from './messages.ts'
import { Player } from './player.ts'
import { stageFor } from './stage.ts'

const speeds = [0.5, 1, 2, 4, 8, 16]

export default function ReplayApp() {
  const [target] = useState(() => readRecording(location.search))
  if (target) return <Found target={target} />
  return (
    <main className="grid h-screen place-items-center">
      <EmptyState
        title={m.nowhere}
        action={
          <a className="text-accent underline" href="/sessions">
            {m.portal}
          </a>
        }
      >
        {m.nowhereWhy}
      </EmptyState>
    </main>
  )
}

function Found({ target }: { target: RecordingTarget }) {
  const recording = useQuery({
    queryKey: ['recording', target.recording],
    queryFn: ({ signal }) => findRecording(target, '', signal),
    retry: false,
    staleTime: Number.POSITIVE_INFINITY,
  })
  if (recording.data) return <Replay target={target} recording={recording.data} />
  return (
    <main className="grid h-screen">
      {recording.isError && <Refusal error={recording.error} onRetry={() => void recording.refetch()} />}
    </main>
  )
}

const lengthOf = ({ since, until }: Recording) =>
  Math.max(0, (until ? Date.parse(until) : Date.now()) - Date.parse(since))

function Replay({ target, recording }: { target: RecordingTarget; recording: Recording }) {
  const place = useRef<HTMLDivElement>(null)
  const [player, setPlayer] = useState<Player>()
  const { account, userName, since, state, columns, rows, protocol } = recording
  const name = targetName({ machine: target.machine, account: plainText(account) })
  useTitle(m.title(name))
  useEffect(() => {
    const { current } = place
    if (!current) return
    let isGone = false
    let made: Player | undefined
    const begin = async () => {
      const stage = (await stageFor(recording))({ columns, rows }, name)
      if (isGone) return stage.dispose()
      made = new Player(stage, lengthOf(recording), (fromMs, toMs, signal) => getFrames(target, fromMs, toMs, signal))
      setPlayer(made)
      await stage.mount(current)
      await made.seek(target.atMs ?? 0)
    }
    void begin()
    return () => {
      isGone = true
      made?.dispose()
    }
  }, [target, recording, columns, rows, name])
  return (
    <div className="flex h-screen min-h-0 flex-col bg-bg">
      <header className="flex shrink-0 items-center gap-3 border-b border-line px-4 py-2">
        <a href="/sessions" aria-label={m.portal}>
          <Mark size={20} />
        </a>
        <div className="min-w-0 flex-1">
          <h1 className="truncate text-sm font-semibold">{m.title(name)}</h1>
          <p className="truncate text-xs text-ink-2">
            {plainText(userName)} · {dateTime(since)} · {nameOf(target.machine)}
          </p>
        </div>
        <Exports target={target} name={name} formats={isDesktop(protocol) ? ['file'] : ['asciicast', 'text', 'file']} />
      </header>
      {state !== 'closed' && (
        <p
          role="status"
          className={state === 'broken' ? 'bg-crit-soft px-4 py-1.5 text-sm' : 'bg-med-soft px-4 py-1.5 text-sm'}
        >
          {m[state]}
        </p>
      )}
      <div className="flex min-h-0 flex-1">
        <main ref={place} className="min-w-0 flex-1 overflow-auto" />
        {player && <Matches target={target} player={player} hasText={!isDesktop(protocol)} />}
      </div>
      {player && <Controls player={player} />}
    </div>
  )
}

const endings = { asciicast: 'cast', text: 'txt', file: 'skr' }

function Exports({ target, name, formats }: { target: RecordingTarget; name: string; formats: ExportFormat[] }) {
  const [error, setError] = useState<unknown>()
  const save = async (format: ExportFormat) => {
    setError(undefined)
    try {
      saveBlob(await exportRecording(target, format), `${name}.${endings[format]}`)
    } catch (why) {
      setError(why)
    }
  }
  return (
    <>
      {error !== undefined && <Refusal error={error} />}
      {formats.map((format) => (
        <Button
          key={format}
          size="sm"
          variant="ghost"
          aria-label={m.download(m[format])}
          onPress={() => void save(format)}
        >
          <Download size={13} aria-hidden />
          {m[format]}
        </Button>
      ))}
    </>
  )
}

function Controls({ player }: { player: Player }) {
  const { positionMs, durationMs, isPlaying, isLoading, speed, skipsIdle, error } = player.use()
  const toggle = () => (isPlaying ? player.pause() : player.play())
  return (
    <footer className="flex shrink-0 flex-col gap-2 border-t border-line bg-surface px-4 py-2">
      {error !== undefined && <Refusal error={error} onRetry={() => void player.seek(positionMs)} />}
      <div className="flex items-center gap-3">
        <Button variant="primary" size="sm" onPress={toggle} aria-label={isPlaying ? m.pause : m.play}>
          {isPlaying ? <Pause size={14} aria-hidden /> : <Play size={14} aria-hidden />}
        </Button>
        <input
          type="range"
          aria-label={m.position}
          aria-valuetext={clock(positionMs)}
          min={0}
          max={durationMs}
          step={100}
          value={positionMs}
          onChange={({ target }) => void player.seek(Number(target.value))}
          className="min-w-0 flex-1 accent-accent"
        />
        <span className="tnum w-32 text-right text-xs text-ink-2">
          {clock(positionMs)} / {clock(durationMs)}
        </span>
        <Select
          hideLabel
          label={m.speed}
          className="w-24"
          value={String(speed)}
          onChange={(value) => player.setSpeed(Number(value))}
          options={speeds.map((value) => ({ id: String(value), label: m.times(value) }))}
        />
        <Checkbox isSelected={skipsIdle} onChange={player.setSkipsIdle}>
          {m.skipIdle}
        </Checkbox>
        <span role="status" className="w-20 text-xs text-ink-3">
          {isLoading && m.loading}
        </span>
      </div>
    </footer>
  )
}

/** What is looked for in the text of a screen, which a desktop has none of, and what was done. */
function Matches({ target, player, hasText }: { target: RecordingTarget; player: Player; hasText: boolean }) {
  const [query, setQuery] = useState('')
  const needle = query.trim()
  const found = useQuery({
    queryKey: ['recording', target.recording, 'matches', needle],
    queryFn: async ({ signal }) => (await findRecording(target, needle, signal)).matches,
    enabled: needle !== '',
    retry: false,
  })
  return (
    <aside aria-label={m.found} className="flex w-72 shrink-0 flex-col gap-2 border-l border-line bg-surface p-3">
      {hasText && <SearchField label={m.find} value={query} onChange={setQuery} className="w-full" />}
      {found.isError && <Refusal error={found.error} />}
      {found.data?.length === 0 && <p className="text-xs text-ink-2">{m.notFound}</p>}
      <ul className="min-h-0 overflow-auto">
        {found.data?.map(({ at, text }) => (
          <Moment key={`${at} ${text}`} atMs={at} player={player}>
            {plainText(shortened(text, 200))}
          </Moment>
        ))}
      </ul>
      <Done target={target} player={player} />
    </aside>
  )
}

function Moment({ atMs, player, children }: { atMs: number; player: Player; children: ReactNode }) {
  return (
    <li>
      <button
        type="button"
        onClick={() => void player.seek(atMs)}
        className="flex w-full gap-2 rounded px-1.5 py-1 text-left text-xs hover:bg-sunken"
      >
        <span className="tnum shrink-0 text-accent">{clock(atMs)}</span>
        <span className="truncate font-mono">{children}</span>
      </button>
    </li>
  )
}

/** Commands and files: what no screen shows. */
function Done({ target, player }: { target: RecordingTarget; player: Player }) {
  const events = useQuery({
    queryKey: ['recording', target.recording, 'events'],
    queryFn: ({ signal }) => getEvents(target, signal),
    retry: false,
  })
  if (events.isError) return <Refusal error={events.error} />
  if (!events.data?.length) return null
  return (
    <>
      <h2 className="text-xs font-medium text-ink-2">{m.done}</h2>
      <ul aria-label={m.done} className="min-h-0 overflow-auto">
        {events.data.map((event, at) => (
          // Several may happen in the same millisecond.
          <Moment key={`${event.atMs} ${at}`} atMs={event.atMs} player={player}>
            {plainText(shortened(textOf(event), 200))}
          </Moment>
        ))}
      </ul>
    </>
  )
}

function textOf(event: SessionEvent) {
  if (event.kind === 'command') return `$ ${event.text}`
  if (event.kind === 'clipboard') return event.isIntoMachine ? m.pasted(event.chars) : m.copied(event.chars)
  const { op, path, to, bytes } = event
  return [op, path, to && `→ ${to}`, bytes !== undefined && m.bytes(bytes)].filter(Boolean).join(' ')
}
