import { useQuery, useQueryClient } from '@tanstack/react-query'
import { CornerLeftUp, FolderPlus, RefreshCw, Upload, X } from 'lucide-react'
import { type DragEvent, useRef, useState } from 'react'
import { bytes } from '../../app/format.ts'
import { plainText } from '../../domain/plainText.ts'
import { Button } from '../../ui/Button.tsx'
import { cx } from '../../ui/cx.ts'
import { IconButton } from '../../ui/IconButton.tsx'
import { Skeleton } from '../../ui/Skeleton.tsx'
import { Refusal } from '../Refusal.tsx'
import type { Ready } from '../terminal/protocol.ts'
import { type FilesAt, listFolder } from './api.ts'
import { type Asked, ChangeDialog } from './ChangeDialog.tsx'
import { FileTable } from './FileTable.tsx'
import { m } from './messages.ts'
import { crumbs, join, parentOf } from './paths.ts'
import { TransferList } from './TransferList.tsx'
import { fetchFile, sendFile } from './transfers.ts'

type Policy = Pick<Ready, 'upload' | 'download' | 'maxFileBytes'>

/** The files of the account that a terminal beside it belongs to. */
export default function FilePanel({ at, policy, onClose }: { at: FilesAt; policy: Policy; onClose: () => void }) {
  const client = useQueryClient()
  const [path, setPath] = useState<string>()
  const [asked, setAsked] = useState<Asked>()
  const [isOver, setOver] = useState(false)
  const input = useRef<HTMLInputElement>(null)
  const key = ['session-files', at.sessionId]
  const folder = useQuery({
    queryKey: [...key, path],
    queryFn: ({ signal }) => listFolder(at, path, signal),
    retry: false,
  })
  const here = folder.data?.path
  // Before it is known where they go, files are taken by nothing.
  const takes = policy.upload && here !== undefined
  const refresh = () => void client.invalidateQueries({ queryKey: key })

  const send = (files: File[]) => {
    if (here === undefined) return
    for (const file of files) void sendFile(at, here, file, policy.maxFileBytes).then(refresh)
  }
  const offer = (files: File[]) => {
    const there = new Set(folder.data?.entries.map(({ name }) => name))
    const existing = files.filter((file) => there.has(file.name))
    if (existing.length === 0) send(files)
    else setAsked({ what: 'replace', names: existing.map(({ name }) => name), onYes: () => send(files) })
  }
  const onDrop = (event: DragEvent) => {
    event.preventDefault()
    setOver(false)
    if (takes) offer([...event.dataTransfer.files])
  }

  return (
    // Dropping is for the mouse; the button is for everybody.
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-element-interactions
    <aside
      aria-label={m.title}
      onDragOver={(event) => {
        event.preventDefault()
        setOver(takes)
      }}
      onDragLeave={() => setOver(false)}
      onDrop={onDrop}
      className={cx(
        'flex w-[420px] shrink-0 flex-col border-l border-line bg-surface',
        isOver && 'outline-2 -outline-offset-4 outline-accent outline-dashed',
      )}
    >
      <header className="flex h-10 shrink-0 items-center gap-1 border-b border-line px-3">
        <h2 className="mr-auto text-sm font-semibold">{m.title}</h2>
        <IconButton
          compact
          label={m.up}
          isDisabled={here === undefined || here === '/'}
          onPress={() => here && setPath(parentOf(here))}
        >
          <CornerLeftUp size={14} aria-hidden />
        </IconButton>
        <IconButton compact label={m.refresh} onPress={refresh}>
          <RefreshCw size={14} aria-hidden />
        </IconButton>
        {policy.upload && (
          <>
            <IconButton
              compact
              label={m.newFolder}
              isDisabled={!takes}
              onPress={() => here && setAsked({ what: 'mkdir', folder: here })}
            >
              <FolderPlus size={14} aria-hidden />
            </IconButton>
            <Button size="sm" isDisabled={!takes} onPress={() => input.current?.click()}>
              <Upload size={14} aria-hidden />
              {m.upload}
            </Button>
            {takes && (
              <input
                ref={input}
                type="file"
                multiple
                hidden
                aria-label={m.upload}
                onChange={({ target }) => {
                  offer([...(target.files ?? [])])
                  // The same file may be chosen again.
                  target.value = ''
                }}
              />
            )}
          </>
        )}
        <IconButton compact label={m.close} onPress={onClose}>
          <X size={14} aria-hidden />
        </IconButton>
      </header>
      {here !== undefined && (
        <nav
          aria-label={m.way}
          className="flex flex-wrap items-center gap-x-1 border-b border-line px-3 py-1.5 text-xs"
        >
          {crumbs(here).map((crumb, at) => (
            <span key={crumb.path} className="flex items-center gap-1">
              {at > 1 && <span className="text-ink-3">/</span>}
              <button
                type="button"
                className="font-mono text-accent hover:underline"
                onClick={() => setPath(crumb.path)}
              >
                {plainText(crumb.name)}
              </button>
            </span>
          ))}
        </nav>
      )}
      <div className="min-h-0 flex-1 overflow-auto">
        {folder.data ? (
          <FileTable
            entries={folder.data.entries}
            policy={policy}
            onOpen={(name) => setPath(join(folder.data.path, name))}
            onDownload={(entry) => void fetchFile(at, folder.data.path, entry, policy.maxFileBytes)}
            onChange={(what, name) => setAsked({ what, folder: folder.data.path, name })}
          />
        ) : folder.isError ? (
          <Refusal error={folder.error} onRetry={() => void folder.refetch()} />
        ) : (
          <div className="p-4" aria-busy>
            <Skeleton className="h-40" />
          </div>
        )}
      </div>
      <p className="border-t border-line px-3 py-1.5 text-2xs text-ink-3">
        {[
          folder.data?.truncated && m.truncated(folder.data.entries.length),
          policy.upload ? m.dropHere : m.noUpload,
          !policy.download && m.noDownload,
          policy.maxFileBytes !== null && m.limit(bytes(policy.maxFileBytes)),
        ]
          .filter(Boolean)
          .join(' ')}
      </p>
      <TransferList />
      {asked && <ChangeDialog at={at} asked={asked} onChanged={refresh} onClose={() => setAsked(undefined)} />}
    </aside>
  )
}
