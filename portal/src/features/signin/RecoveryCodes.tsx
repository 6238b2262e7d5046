import { Download } from 'lucide-react'
import { useState } from 'react'
import { Button } from '../../ui/Button.tsx'
import { Checkbox } from '../../ui/Checkbox.tsx'
import { CopyButton } from '../../ui/CopyButton.tsx'
import { m } from './messages.ts'

function download(text: string) {
  const url = URL.createObjectURL(new Blob([text], { type: 'text/plain' }))
  const link = document.createElement('a')
  link.href = url
  link.download = 'sekisho-recovery-codes.txt'
  link.click()
  URL.revokeObjectURL(url)
}

export function RecoveryCodes({ codes, onSaved }: { codes: string[]; onSaved: () => void }) {
  const [saved, setSaved] = useState(false)
  const text = `${codes.join('\n')}\n`
  return (
    <>
      <h1 className="text-2xl font-semibold tracking-tight">{m.recovery}</h1>
      <p className="mt-2 text-sm text-ink-2">{m.recoveryWhy}</p>
      <ol className="mt-5 grid grid-cols-2 gap-x-6 gap-y-1.5 rounded-lg border border-line bg-sunken p-4 font-mono text-xs">
        {codes.map((code) => (
          <li key={code}>{code}</li>
        ))}
      </ol>
      <div className="mt-3 flex gap-2">
        <CopyButton text={text} label={m.copy}>
          {m.copy}
        </CopyButton>
        <Button onPress={() => download(text)}>
          <Download size={14} aria-hidden />
          {m.download}
        </Button>
      </div>
      <div className="mt-6 flex flex-col gap-4">
        <Checkbox isSelected={saved} onChange={setSaved}>
          {m.saved}
        </Checkbox>
        <Button variant="primary" size="lg" isDisabled={!saved} onPress={onSaved}>
          {m.open}
        </Button>
      </div>
    </>
  )
}
