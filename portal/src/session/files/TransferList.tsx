import { ArrowDownToLine, ArrowUpFromLine, X } from 'lucide-react'
import { shownError } from '../../app/errors.ts'
import { bytes } from '../../app/format.ts'
import { plainText } from '../../domain/plainText.ts'
import { Button } from '../../ui/Button.tsx'
import { IconButton } from '../../ui/IconButton.tsx'
import { m } from './messages.ts'
import { forget, resume, stop, type Transfer, useTransfers } from './transfers.ts'

const isOver = ({ state }: Transfer) => state.is !== 'waiting' && state.is !== 'running'

function stateText({ state, done, total }: Transfer) {
  switch (state.is) {
    case 'running':
      return total === undefined ? bytes(done) : m.of(bytes(done), bytes(total))
    case 'done':
      return m.done(bytes(state.stored?.bytes ?? done))
    case 'failed':
      return shownError(state.error).title
    default:
      return m[state.is]
  }
}

export function TransferList() {
  const transfers = useTransfers()
  if (transfers.length === 0) return null
  return (
    <section aria-label={m.transfers} className="max-h-64 shrink-0 overflow-auto border-t border-line">
      <ul>
        {transfers.map((transfer) => (
          <Item key={transfer.id} transfer={transfer} />
        ))}
      </ul>
    </section>
  )
}

function Item({ transfer }: { transfer: Transfer }) {
  const { id, direction, state, done, total } = transfer
  const name = plainText(transfer.name)
  const Icon = direction === 'up' ? ArrowUpFromLine : ArrowDownToLine
  const hashes = state.is === 'done' && state.stored ? state.stored : undefined
  return (
    <li className="border-b border-line/60 px-3 py-2 text-xs last:border-0">
      <div className="flex items-center gap-2">
        <Icon size={13} aria-hidden className="shrink-0 text-ink-3" />
        <span className="min-w-0 flex-1 truncate font-medium" title={name}>
          {name}
        </span>
        {(state.is === 'failed' || state.is === 'stopped') && (
          <Button size="sm" variant="ghost" onPress={() => void resume(id)}>
            {m.resume}
          </Button>
        )}
        <IconButton
          compact
          label={isOver(transfer) ? m.forget(name) : m.stop(name)}
          onPress={() => (isOver(transfer) ? forget(id) : stop(id))}
        >
          <X size={13} aria-hidden />
        </IconButton>
      </div>
      {state.is === 'running' && (
        <progress
          aria-label={name}
          className="h-1 w-full accent-accent"
          {...(total ? { value: done, max: total } : {})}
        />
      )}
      <p className={state.is === 'failed' || state.is === 'tooLarge' ? 'text-crit' : 'text-ink-2'}>
        {stateText(transfer)}
      </p>
      {hashes?.sha256 && <p className="font-mono text-2xs break-all text-ink-3">SHA-256 {plainText(hashes.sha256)}</p>}
    </li>
  )
}
