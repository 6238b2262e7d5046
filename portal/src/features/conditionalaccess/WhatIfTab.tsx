import { useMutation } from '@tanstack/react-query'
import { useState } from 'react'
import { Form } from 'react-aria-components'
import { evaluate, type SignIn } from '../../api/queries/conditionalAccess.ts'
import { applications } from '../../domain/policyDraft.ts'
import { usePrincipalNames } from '../../parts/usePrincipalNames.ts'
import { Badge } from '../../ui/Badge.tsx'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { ComboBox } from '../../ui/ComboBox.tsx'
import { ErrorNote } from '../../ui/ErrorNote.tsx'
import { Select } from '../../ui/Select.tsx'
import { Table } from '../../ui/Table.tsx'
import { TextField } from '../../ui/TextField.tsx'
import { draftOf } from '../../domain/policyDraft.ts'
import { m, reasonText } from './messages.ts'

const platforms = ['windows', 'macOS', 'linux', 'iOS', 'android']

export function WhatIfTab() {
  const { principals } = usePrincipalNames()
  const [signIn, setSignIn] = useState<SignIn>({
    userId: '',
    application: '',
    ipAddress: '',
    devicePlatform: '',
    clientAppType: 'browser',
  })
  const set = (change: Partial<SignIn>) => setSignIn({ ...signIn, ...change })
  const ask = useMutation({ mutationFn: () => evaluate(signIn) })
  const people = principals.filter(({ type }) => type === 'User')
  return (
    <div className="grid grid-cols-[320px_1fr] items-start gap-4">
      <Card title={m.whatIf}>
        <Form
          className="flex flex-col gap-3"
          onSubmit={(event) => {
            event.preventDefault()
            ask.mutate()
          }}
        >
          <p className="text-sm text-ink-2">{m.whatIfWhy}</p>
          <ComboBox
            key={people.length}
            label={m.person}
            options={people.map(({ id, name, detail }) => ({ id, label: name, detail }))}
            value={signIn.userId}
            onChange={(userId) => set({ userId })}
            empty={m.noOption}
          />
          <Select
            label={m.target}
            value={signIn.application || 'all'}
            onChange={(id) => set({ application: id === 'all' ? '' : id })}
            options={[
              { id: 'all', label: m.portal },
              { id: applications.az, label: m.az },
              { id: applications.api, label: m.api },
              { id: applications.bastion, label: m.bastion },
            ]}
          />
          <Select
            label={m.client}
            value={signIn.clientAppType}
            onChange={(clientAppType) => set({ clientAppType })}
            options={[
              { id: 'browser', label: m.browser },
              { id: 'mobileAppsAndDesktopClients', label: m.programs },
            ]}
          />
          <Select
            label={m.platform}
            value={signIn.devicePlatform}
            onChange={(devicePlatform) => set({ devicePlatform })}
            options={platforms.map((id) => ({ id, label: id }))}
          />
          <TextField label={m.address} value={signIn.ipAddress} onChange={(ipAddress) => set({ ipAddress })} mono />
          <Button type="submit" variant="primary" isDisabled={signIn.userId === ''} isPending={ask.isPending}>
            {m.ask}
          </Button>
          {ask.error && <ErrorNote error={ask.error} />}
        </Form>
      </Card>
      {ask.data && (
        <Card flush title={m.policies}>
          <Table
            label={m.policies}
            rows={ask.data}
            rowId={(row) => row.id ?? ''}
            columns={[
              { id: 'name', header: m.name, cell: (row) => row.displayName },
              {
                id: 'applies',
                header: m.result,
                cell: (row) => (
                  <Badge tone={row.policyApplies ? 'accent' : 'low'}>
                    {row.policyApplies ? m.applies : m.notApplies}
                  </Badge>
                ),
              },
              {
                id: 'why',
                header: m.reason,
                cell: (row) => (row.policyApplies ? m[draftOf(row).grant] : reasonText(row.analysisReasons)),
              },
            ]}
          />
        </Card>
      )}
    </div>
  )
}
