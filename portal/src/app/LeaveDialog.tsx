import { Button } from '../ui/Button.tsx'
import { Dialog } from '../ui/Dialog.tsx'
import { messages } from './i18n.ts'

const m = messages({
  title: { en: 'Leave without saving?', ja: '保存せずに閉じますか?' },
  why: {
    en: 'What you entered here has not been saved.',
    ja: '入力した内容はまだ保存されていません。',
  },
  stay: { en: 'Keep editing', ja: '編集を続ける' },
  leave: { en: 'Discard and leave', ja: '破棄して閉じる' },
})

export default function LeaveDialog({ answer }: { answer: (leave: boolean) => void }) {
  return (
    <Dialog
      role="alertdialog"
      title={m.title}
      onClose={() => answer(false)}
      footer={
        <>
          <Button autoFocus onPress={() => answer(false)}>
            {m.stay}
          </Button>
          <Button variant="danger" onPress={() => answer(true)}>
            {m.leave}
          </Button>
        </>
      }
    >
      <p className="text-sm">{m.why}</p>
    </Dialog>
  )
}
