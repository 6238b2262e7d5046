import { Columns3 } from 'lucide-react'
import { Button, Dialog, DialogTrigger, Popover } from 'react-aria-components'
import { Checkbox } from '../../ui/Checkbox.tsx'
import type { MachineColumn } from './columns.tsx'
import { m } from './messages.ts'

type Props = { columns: MachineColumn[]; shown: string[]; onChange: (ids: string[]) => void }

export function ColumnChooser({ columns, shown, onChange }: Props) {
  return (
    <DialogTrigger>
      <Button
        aria-label={m.columns}
        className="grid size-8 shrink-0 place-items-center rounded-md border border-line-strong text-ink-2 hover:bg-sunken"
      >
        <Columns3 size={15} aria-hidden />
      </Button>
      <Popover placement="bottom end" className="w-56 rounded-lg border border-line bg-raised shadow-pop">
        <Dialog aria-label={m.columns} className="flex flex-col gap-1.5 p-3 outline-none">
          {columns.map((column) => (
            <Checkbox
              key={column.id}
              isSelected={shown.includes(column.id)}
              isDisabled={column.id === 'name'}
              onChange={(on) =>
                onChange(columns.map((item) => item.id).filter((id) => (id === column.id ? on : shown.includes(id))))
              }
            >
              {column.header}
            </Checkbox>
          ))}
        </Dialog>
      </Popover>
    </DialogTrigger>
  )
}
