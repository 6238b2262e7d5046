import { ChevronDown, ChevronUp, X } from 'lucide-react'
import { useState } from 'react'
import { IconButton } from '../../ui/IconButton.tsx'
import { m } from './messages.ts'
import type { TerminalSession } from './session.ts'

export function FindBar({ session }: { session: TerminalSession }) {
  const [text, setText] = useState('')
  const [isFound, setFound] = useState(true)
  const find = async (direction: 'next' | 'previous', needle = text) =>
    setFound(needle === '' || (await session.screen.find(needle, direction)))
  return (
    <search className="absolute top-2 right-5 z-10 flex items-center gap-1 rounded-lg border border-line bg-raised p-1 shadow-pop">
      <input
        aria-label={m.findText}
        placeholder={m.findText}
        autoFocus
        value={text}
        onChange={({ target }) => {
          setText(target.value)
          void find('previous', target.value)
        }}
        onKeyDown={(event) => {
          if (event.nativeEvent.isComposing) return
          if (event.key === 'Escape') session.setFinding(false)
          if (event.key === 'Enter') void find(event.shiftKey ? 'next' : 'previous')
        }}
        className="h-7 w-56 bg-transparent px-2 text-sm outline-none placeholder:text-ink-3"
      />
      <span role="status" className="px-1 text-xs text-crit">
        {!isFound && m.notFound}
      </span>
      <IconButton compact label={m.previous} onPress={() => void find('previous')}>
        <ChevronUp size={14} aria-hidden />
      </IconButton>
      <IconButton compact label={m.next} onPress={() => void find('next')}>
        <ChevronDown size={14} aria-hidden />
      </IconButton>
      <IconButton compact label={m.closeFind} onPress={() => session.setFinding(false)}>
        <X size={14} aria-hidden />
      </IconButton>
    </search>
  )
}
