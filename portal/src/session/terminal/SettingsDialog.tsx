import { Button } from '../../ui/Button.tsx'
import { Checkbox } from '../../ui/Checkbox.tsx'
import { Dialog } from '../../ui/Dialog.tsx'
import { Segments } from '../../ui/Segments.tsx'
import { Select } from '../../ui/Select.tsx'
import { common } from '../messages.ts'
import { m } from './messages.ts'
import { fontSizes, setPrefs, usePrefs } from './prefs.ts'
import { schemeIds } from './schemes.ts'

export function SettingsDialog({ onClose }: { onClose: () => void }) {
  const { scheme, fontSize, screenReader } = usePrefs()
  return (
    <Dialog
      title={m.settings}
      onClose={onClose}
      footer={
        <Button variant="primary" onPress={onClose}>
          {common.done}
        </Button>
      }
    >
      <div className="flex flex-col gap-5">
        <Segments
          label={m.scheme}
          value={scheme}
          onChange={(id) => setPrefs({ scheme: id })}
          options={schemeIds.map((id) => ({ id, label: id === 'portal' ? m.portalScheme : m[id] }))}
        />
        <Select
          label={m.fontSize}
          className="w-40"
          value={String(fontSize)}
          onChange={(size) => setPrefs({ fontSize: Number(size) })}
          options={fontSizes.map((size) => ({ id: String(size), label: m.px(size) }))}
        />
        <Checkbox isSelected={screenReader} onChange={(on) => setPrefs({ screenReader: on })}>
          {m.screenReader}
        </Checkbox>
        <div className="text-xs text-ink-2">
          <h3 className="font-medium">{m.keys}</h3>
          <p>{m.keysCopy}</p>
          <p>{m.keysLeave}</p>
        </div>
      </div>
    </Dialog>
  )
}
