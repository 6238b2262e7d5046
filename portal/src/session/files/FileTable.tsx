import { Ellipsis, File, FileQuestion, FileSymlink, Folder } from 'lucide-react'
import { Button } from 'react-aria-components'
import { ago, bytes, dateTime } from '../../app/format.ts'
import { plainText } from '../../domain/plainText.ts'
import { Menu } from '../../ui/Menu.tsx'
import type { FileEntry } from './api.ts'
import { m } from './messages.ts'

const icons = { file: File, directory: Folder, link: FileSymlink, other: FileQuestion }

type Props = {
  entries: FileEntry[]
  policy: { upload: boolean; download: boolean }
  onOpen: (name: string) => void
  onDownload: (entry: FileEntry) => void
  onChange: (what: 'rename' | 'remove', name: string) => void
}

/** Folders first; then as the language orders names. */
const inOrder = (entries: FileEntry[]) =>
  entries.toSorted(
    (a, b) => Number(b.kind === 'directory') - Number(a.kind === 'directory') || a.name.localeCompare(b.name),
  )

export function FileTable({ entries, policy, onOpen, onDownload, onChange }: Props) {
  if (entries.length === 0) return <p className="p-6 text-center text-sm text-ink-2">{m.empty}</p>
  const actions = (entry: FileEntry) => {
    const action = (id: string, text: string, onAction: () => void, danger = false) => [
      { id, text, label: text, danger, onAction },
    ]
    return [
      ...(policy.download && entry.kind !== 'directory' ? action('download', m.download, () => onDownload(entry)) : []),
      ...(policy.upload ? action('rename', m.rename, () => onChange('rename', entry.name)) : []),
      ...(policy.upload ? action('remove', m.remove, () => onChange('remove', entry.name), true) : []),
    ]
  }
  return (
    <table aria-label={m.list} className="w-full text-xs">
      <thead className="sticky top-0 bg-band text-left text-2xs text-ink-2">
        <tr>
          <th className="h-7 px-3 font-medium">{m.name}</th>
          <th className="px-2 text-right font-medium">{m.size}</th>
          <th className="px-2 font-medium">{m.modified}</th>
          <th className="sr-only">{m.actions}</th>
        </tr>
      </thead>
      <tbody>
        {inOrder(entries).map((entry) => {
          const Icon = icons[entry.kind] ?? FileQuestion
          const name = plainText(entry.name)
          const isOpenable = entry.kind === 'directory' || entry.kind === 'link'
          return (
            <tr key={entry.name} className="border-t border-line/60 hover:bg-band">
              <td className="max-w-0 w-full px-3 py-1">
                <span className="flex items-center gap-2">
                  <Icon size={14} aria-hidden className="shrink-0 text-ink-3" />
                  {isOpenable ? (
                    <button
                      type="button"
                      title={name}
                      className="truncate text-accent hover:underline"
                      onClick={() => onOpen(entry.name)}
                    >
                      {name}
                    </button>
                  ) : (
                    <span className="truncate" title={name}>
                      {name}
                    </span>
                  )}
                </span>
              </td>
              <td className="tnum px-2 text-right whitespace-nowrap text-ink-2">
                {entry.kind === 'file' && bytes(entry.bytes)}
              </td>
              <td className="tnum px-2 whitespace-nowrap text-ink-2" title={dateTime(entry.modified)}>
                {ago(entry.modified)}
              </td>
              <td className="pr-2">
                {actions(entry).length > 0 && (
                  <Menu label={m.more(name)} actions={actions(entry)}>
                    <Button
                      aria-label={m.more(name)}
                      className="grid size-6 place-items-center rounded text-ink-2 hover:bg-sunken"
                    >
                      <Ellipsis size={14} aria-hidden />
                    </Button>
                  </Menu>
                )}
              </td>
            </tr>
          )
        })}
      </tbody>
    </table>
  )
}
