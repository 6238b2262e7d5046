import { Button } from '../../ui/Button.tsx'
import { Dialog } from '../../ui/Dialog.tsx'
import { common } from '../messages.ts'
import { m } from './messages.ts'
import type { Question, TerminalSession } from './session.ts'

const shownChars = 4_000

export function QuestionDialog({ session, question }: { session: TerminalSession; question: Question }) {
  const isLink = question.about === 'link'
  const lines = isLink ? 0 : question.text.replace(/\n$/, '').split('\n').length
  return (
    <Dialog
      role="alertdialog"
      title={isLink ? m.linkTitle : m.pasteTitle(lines)}
      subtitle={isLink ? m.linkWhy : m.pasteWhy}
      onClose={() => session.answer(false)}
      footer={
        <>
          <Button onPress={() => session.answer(false)}>{common.cancel}</Button>
          <Button variant="primary" onPress={() => session.answer(true)}>
            {isLink ? m.openLink : m.paste}
          </Button>
        </>
      }
    >
      <pre className="max-h-80 overflow-auto font-mono text-xs break-all whitespace-pre-wrap">
        {isLink ? question.address : question.text.slice(0, shownChars)}
      </pre>
    </Dialog>
  )
}
