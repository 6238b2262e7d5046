import type { ReactNode } from 'react'
import { Button } from '../ui/Button.tsx'
import { Checkbox } from '../ui/Checkbox.tsx'
import { Dialog } from '../ui/Dialog.tsx'
import { messages } from './i18n.ts'
import { navItems, navText } from './nav.ts'
import { setSingleKeys, useSingleKeys } from './shortcuts.ts'

const m = messages({
  title: { en: 'Keyboard shortcuts', ja: 'キーボード ショートカット' },
  anywhere: { en: 'Anywhere', ja: '共通' },
  pages: { en: 'Go to', ja: 'ページの移動' },
  grid: { en: 'In a grid', ja: '一覧表' },
  palette: { en: 'Search and act', ja: '検索と操作' },
  search: { en: 'Filter this page', ja: 'このページを絞り込み' },
  help: { en: 'This help', ja: 'このヘルプ' },
  escape: { en: 'Close what is on top', ja: '最前面を閉じる' },
  move: { en: 'One row up or down', ja: '1 行ずつ移動' },
  page: { en: 'One page up or down', ja: '1 ページずつ移動' },
  ends: { en: 'First or last row', ja: '先頭・末尾の行' },
  open: { en: 'Open the row', ja: '行を開く' },
  single: { en: 'Shortcuts of single letters', ja: '1 文字のショートカットを使用する' },
  close: { en: 'Close', ja: '閉じる' },
})

export default function ShortcutHelp({ onClose }: { onClose: () => void }) {
  const single = useSingleKeys()
  return (
    <Dialog
      wide
      title={m.title}
      onClose={onClose}
      footer={
        <Button autoFocus onPress={onClose}>
          {m.close}
        </Button>
      }
    >
      <div className="grid gap-x-10 gap-y-5 sm:grid-cols-2">
        <div className="flex flex-col gap-5">
          <Keys
            title={m.anywhere}
            keys={[
              [m.palette, ['Ctrl K']],
              [m.search, ['/']],
              [m.help, ['?']],
              [m.escape, ['Esc']],
            ]}
          />
          <Keys
            title={m.grid}
            keys={[
              [m.move, ['↑', '↓']],
              [m.page, ['PgUp', 'PgDn']],
              [m.ends, ['Home', 'End']],
              [m.open, ['Enter']],
            ]}
          />
        </div>
        <Keys title={m.pages} keys={navItems.map((item) => [navText[item.text], ['g', item.key]])} />
      </div>
      <div className="mt-5 border-t border-line pt-4">
        <Checkbox isSelected={single} onChange={setSingleKeys}>
          {m.single}
        </Checkbox>
      </div>
    </Dialog>
  )
}

function Keys({ title, keys }: { title: string; keys: [ReactNode, string[]][] }) {
  return (
    <section aria-label={title}>
      <h3 className="mb-1.5 text-xs font-medium text-ink-2">{title}</h3>
      <dl className="divide-y divide-line/60">
        {keys.map(([what, names]) => (
          <div key={names.join()} className="flex items-center justify-between gap-3 py-1.5 text-sm">
            <dt>{what}</dt>
            <dd className="flex gap-1">
              {names.map((name) => (
                <kbd
                  key={name}
                  className="min-w-6 rounded border border-line-strong bg-sunken px-1.5 text-center font-mono text-xs"
                >
                  {name}
                </kbd>
              ))}
            </dd>
          </div>
        ))}
      </dl>
    </section>
  )
}
