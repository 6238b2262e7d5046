import { X } from 'lucide-react'
import { messages } from '../app/i18n.ts'
import { ComboBox } from '../ui/ComboBox.tsx'
import { IconButton } from '../ui/IconButton.tsx'
import type { Option } from '../ui/Select.tsx'

const m = messages({
  add: { en: 'Add', ja: '追加' },
  noOption: { en: 'Nothing found', ja: '見つかりません' },
  take: { en: (name: string) => `Take out ${name}`, ja: (name: string) => `${name} を外す` },
})

type Props = { label: string; options: Option[]; value: string[]; onChange: (ids: string[]) => void }

/** Several of many: what is chosen as a list, and a field that adds to it. */
export function Several({ label, options, value, onChange }: Props) {
  const labelOf = (id: string) => options.find((option) => option.id === id)?.label ?? id
  const left = options.filter((option) => !value.includes(option.id))
  return (
    <div className="flex flex-col gap-1.5">
      <ComboBox
        key={`${left.length} ${value.length}`}
        label={label}
        options={left}
        value=""
        onChange={(id) => id !== '' && onChange([...value, id])}
        placeholder={m.add}
        empty={m.noOption}
      />
      {value.length > 0 && (
        <ul aria-label={label} className="flex flex-wrap gap-1.5">
          {value.map((id) => (
            <li key={id} className="flex items-center rounded-md border border-line bg-sunken pl-2 text-sm">
              {labelOf(id)}
              <IconButton label={m.take(labelOf(id))} onPress={() => onChange(value.filter((other) => other !== id))}>
                <X size={12} aria-hidden />
              </IconButton>
            </li>
          ))}
        </ul>
      )}
    </div>
  )
}
