import { useMutation, useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { Form } from 'react-aria-components'
import { authorizationQueries, effectiveActions, explain, whoCan } from '../../api/queries/authorization.ts'
import type { Explanation, WhoCan } from '../../api/types.ts'
import { useScope } from '../../app/scope.ts'
import { Button } from '../../ui/Button.tsx'
import { Card } from '../../ui/Card.tsx'
import { ComboBox } from '../../ui/ComboBox.tsx'
import { ErrorNote } from '../../ui/ErrorNote.tsx'
import { Select } from '../../ui/Select.tsx'
import { ActionsAnswer } from './ActionsAnswer.tsx'
import { ExplanationAnswer } from './ExplanationAnswer.tsx'
import { m } from './messages.ts'
import { PrincipalField } from './PrincipalField.tsx'
import { ScopeField, scopeIsGood, type ScopeValue } from './ScopeField.tsx'
import { WhoCanAnswer } from './WhoCanAnswer.tsx'

type Question = 'why' | 'who' | 'what'
type Asked = { question: Question; scope: string; principalId: string; action: string }
type Answer =
  | { question: 'why'; value: Explanation }
  | { question: 'who'; value: WhoCan[] }
  | { question: 'what'; value: string[] }

async function answer({ question, scope, principalId, action }: Asked): Promise<Answer> {
  if (question === 'why') return { question, value: await explain(scope, principalId, action) }
  if (question === 'who') return { question, value: await whoCan(scope, action) }
  return { question, value: await effectiveActions(scope, principalId) }
}

export function CheckTab() {
  const { subscriptionId } = useScope()
  const { data: actions = [] } = useQuery(authorizationQueries.actions())
  const [question, setQuestion] = useState<Question>('why')
  const [principalId, setPrincipal] = useState('')
  const [action, setAction] = useState('')
  const [scope, setScope] = useState<ScopeValue>({ kind: 'listed', id: subscriptionId })
  const ask = useMutation({ mutationFn: answer })

  const ready =
    scopeIsGood(scope) && (question === 'who' || principalId !== '') && (question === 'what' || action !== '')
  // An answer belongs to the question it was given to; a changed question has none yet.
  const change =
    <T,>(set: (value: T) => void) =>
    (value: T) => {
      set(value)
      ask.reset()
    }
  return (
    <div className="grid items-start gap-4 xl:grid-cols-[420px_1fr]">
      <Card>
        <Form
          className="flex flex-col gap-4"
          onSubmit={(event) => {
            event.preventDefault()
            if (ready) ask.mutate({ question, scope: scope.id, principalId, action })
          }}
        >
          <Select
            label={m.question}
            value={question}
            onChange={change((id: string) => setQuestion(id as Question))}
            options={[
              { id: 'why', label: m.whyQuestion },
              { id: 'who', label: m.whoQuestion },
              { id: 'what', label: m.whatQuestion },
            ]}
          />
          {question !== 'who' && <PrincipalField value={principalId} onChange={change(setPrincipal)} />}
          {question !== 'what' && (
            <ComboBox
              key={actions.length}
              label={m.action}
              value={action}
              onChange={change(setAction)}
              options={actions.map((name) => ({ id: name, label: name }))}
              placeholder="Microsoft.Network/networkSecurityGroups/write"
              empty={m.noOption}
              mono
            />
          )}
          <ScopeField value={scope} onChange={change(setScope)} />
          <Button type="submit" variant="primary" isDisabled={!ready} isPending={ask.isPending}>
            {m.ask}
          </Button>
        </Form>
      </Card>
      <div aria-live="polite">
        {ask.error && <ErrorNote error={ask.error} />}
        {ask.data?.question === 'why' && <ExplanationAnswer explanation={ask.data.value} />}
        {ask.data?.question === 'who' && <WhoCanAnswer rows={ask.data.value} />}
        {ask.data?.question === 'what' && <ActionsAnswer actions={ask.data.value} />}
      </div>
    </div>
  )
}
