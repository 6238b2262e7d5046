import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { Trash2 } from 'lucide-react'
import { useState } from 'react'
import { Form } from 'react-aria-components'
import { addSshKey, removeSshKey, sshKeysQuery } from '../../api/queries/sshKeys.ts'
import { Section } from '../../parts/Section.tsx'
import { When } from '../../parts/When.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { CodeBlock } from '../../ui/CodeBlock.tsx'
import { ErrorNote } from '../../ui/ErrorNote.tsx'
import { IconButton } from '../../ui/IconButton.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { m } from './messages.ts'

/** How to come in with the SSH client one has: say which key is one's own, tell the client where to go, and go. */
export function SshClientCard({ machine, account }: { machine: string; account: string }) {
  const client = useQueryClient()
  const keys = useQuery(sshKeysQuery)
  const [line, setLine] = useState('')
  const changed = () => client.invalidateQueries({ queryKey: sshKeysQuery.queryKey })
  const add = useMutation({
    mutationFn: () => addSshKey(line.trim()),
    onSuccess: () => {
      setLine('')
      return changed()
    },
  })
  const remove = useMutation({ mutationFn: removeSshKey, onSettled: changed })
  return (
    <Card title={m.sshClient}>
      <div className="flex max-w-3xl flex-col gap-4">
        <p className="text-sm text-ink-2">{m.sshClientWhy}</p>
        <Section query={keys}>
          {(all) =>
            all.length > 0 && (
              <ul aria-label={m.sshKeys} className="flex flex-col divide-y divide-line">
                {all.map(({ id, fingerprint, until }) => (
                  <li key={id} className="flex items-center gap-3 py-1">
                    <span className="min-w-0 flex-1 truncate font-mono text-xs">{fingerprint}</span>
                    <span className="text-xs text-ink-2">
                      {m.sshKeyUntil} <When iso={until} />
                    </span>
                    <IconButton label={m.sshKeyRemove} onPress={() => remove.mutate(id)} compact>
                      <Trash2 size={14} aria-hidden />
                    </IconButton>
                  </li>
                ))}
              </ul>
            )
          }
        </Section>
        {remove.error && <ErrorNote error={remove.error} />}
        <Form
          className="flex flex-col items-start gap-3"
          onSubmit={(event) => {
            event.preventDefault()
            add.mutate()
          }}
        >
          <TextField
            className="w-full"
            label={m.sshKey}
            hint={m.sshKeyHint}
            placeholder="ssh-ed25519 AAAA…"
            value={line}
            onChange={setLine}
            autoComplete="off"
            rows={2}
            mono
          />
          <Button type="submit" isDisabled={line.trim() === ''} isPending={add.isPending}>
            {m.sshKeyAdd}
          </Button>
          {add.error && <ErrorNote error={add.error} />}
        </Form>
        {add.data && (
          <>
            <p className="text-sm text-ink-2">{m.sshKnownHosts}</p>
            <CodeBlock label="known_hosts" copyLabel={m.copy} code={add.data.knownHosts} />
            <p className="text-sm text-ink-2">{m.sshConfig}</p>
            <CodeBlock label="config" copyLabel={m.copy} code={add.data.config} />
          </>
        )}
        <p className="text-sm text-ink-2">{m.sshGo}</p>
        <CodeBlock
          label={m.sshGo}
          copyLabel={m.copy}
          code={`ssh ${account || 'alice'}@${machine.toLowerCase()}.sekisho`}
        />
      </div>
    </Card>
  )
}
