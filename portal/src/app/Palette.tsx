import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { ArrowRight, Link2, type LucideIcon, Languages, Moon, Plus, Search, Server, Shield } from 'lucide-react'
import { useDeferredValue, useState } from 'react'
import {
  Autocomplete,
  Dialog,
  Header,
  Input,
  Menu,
  MenuItem,
  MenuSection,
  Modal,
  ModalOverlay,
  SearchField,
} from 'react-aria-components'
import { fleetQueries } from '../api/queries/fleet.ts'
import { networkQueries } from '../api/queries/network.ts'
import { parseArmId } from '../domain/armId.ts'
import { getLocale, messages, setLocale } from './i18n.ts'
import { navItems, navText } from './nav.ts'
import { useScope } from './scope.ts'
import { getTheme, setTheme } from './theme.ts'
import { leave } from './unsaved.ts'

const m = messages({
  title: { en: 'Command palette', ja: 'コマンド パレット' },
  placeholder: {
    en: 'Type a name, a page, an action, or paste a resource id',
    ja: '名前・ページ・操作を入力、またはリソース ID を貼り付け',
  },
  results: { en: 'Results', ja: '結果' },
  nothing: { en: 'Nothing found', ja: '見つかりません' },
  pages: { en: 'Pages', ja: 'ページ' },
  machines: { en: 'Machines', ja: 'マシン' },
  groups: { en: 'Network security groups', ja: 'ネットワーク セキュリティ グループ' },
  actions: { en: 'Actions', ja: '操作' },
  open: { en: (name: string) => `Open ${name}`, ja: (name: string) => `${name} を開く` },
  connect: { en: 'Connect a machine', ja: 'マシンを接続' },
  createNsg: { en: 'Create a network security group', ja: 'ネットワーク セキュリティ グループを作成' },
  theme: { en: 'Switch between light and dark', ja: 'ライトとダークを切り替え' },
  language: { en: '日本語に切り替え', ja: 'Switch to English' },
})

type Entry = { id: string; text: string; detail?: string; aliases?: string; icon: LucideIcon; run: () => void }

/** Every word of the query has to occur; NFKC makes full-width letters and half-width kana equal to the usual ones. */
function matcher(query: string) {
  const words = query.normalize('NFKC').toLowerCase().split(/\s+/).filter(Boolean)
  return ({ text, detail, aliases }: Entry) => {
    const haystack = `${text} ${detail ?? ''} ${aliases ?? ''}`.normalize('NFKC').toLowerCase()
    return words.every((word) => haystack.includes(word))
  }
}

export default function Palette({ onClose }: { onClose: () => void }) {
  const navigate = useNavigate()
  const { subscriptionId } = useScope()
  const enabled = subscriptionId !== ''
  const { data: machines = [] } = useQuery({ ...fleetQueries.machines(subscriptionId), enabled })
  const { data: nsgs = [] } = useQuery({ ...networkQueries.nsgs(subscriptionId), enabled })
  const [query, setQuery] = useState('')
  const deferred = useDeferredValue(query)

  const openResource = (id: string) => () => void navigate({ to: '/r/$', params: { _splat: id.slice(1) } })
  const pages = navItems.map((item): Entry => ({
    id: item.to,
    text: navText[item.text],
    aliases: item.aliases,
    icon: item.icon,
    run: () => void navigate({ to: item.to }),
  }))
  const machineEntries = machines.map((item): Entry => ({
    id: item.id,
    text: item.name,
    detail: item.addresses[0] ?? item.resourceGroup,
    icon: Server,
    run: openResource(item.id),
  }))
  const nsgEntries = nsgs.map((item): Entry => ({
    id: item.id,
    text: item.name,
    aliases: 'nsg',
    icon: Shield,
    run: openResource(item.id),
  }))
  const actions: Entry[] = [
    {
      id: 'connect',
      text: m.connect,
      aliases: 'connect join せつぞく setsuzoku ましん',
      icon: Plus,
      run: () => void navigate({ to: '/machines', search: { connect: true } }),
    },
    {
      id: 'create-nsg',
      text: m.createNsg,
      aliases: 'create nsg さくせい sakusei',
      icon: Plus,
      run: () => void navigate({ to: '/nsg', search: { create: true } }),
    },
    {
      id: 'theme',
      text: m.theme,
      aliases: 'theme dark light てーま teema ダーク',
      icon: Moon,
      run: () => setTheme(getTheme() === 'dark' ? 'light' : 'dark'),
    },
    {
      id: 'language',
      text: m.language,
      aliases: 'language english japanese げんご gengo 言語 日本語',
      icon: Languages,
      run: () => void leave(() => setLocale(getLocale() === 'ja' ? 'en' : 'ja')),
    },
  ]

  const pasted = parseArmId(deferred)
  const matches = matcher(deferred)
  const searching = deferred.trim() !== ''
  const sections: [string, Entry[]][] = pasted
    ? [
        [
          m.actions,
          [
            {
              id: pasted.id,
              text: m.open(pasted.name),
              detail: pasted.type,
              icon: Link2,
              run: openResource(pasted.id),
            },
          ],
        ],
      ]
    : [
        [m.pages, pages.filter(matches)],
        [m.machines, searching ? machineEntries.filter(matches).slice(0, 8) : []],
        [m.groups, searching ? nsgEntries.filter(matches).slice(0, 8) : []],
        [m.actions, actions.filter(matches)],
      ]
  const run = (key: string) => {
    const entry = sections.flatMap(([, entries]) => entries).find((item) => item.id === key)
    onClose()
    entry?.run()
  }
  return (
    <ModalOverlay
      isOpen
      isDismissable
      onOpenChange={(open) => !open && onClose()}
      className="fixed inset-0 z-50 flex justify-center bg-black/35 pt-[12vh]"
    >
      <Modal className="h-fit w-[min(640px,92vw)] overflow-hidden rounded-xl border border-line bg-raised shadow-pop">
        <Dialog aria-label={m.title} className="outline-none">
          <Autocomplete inputValue={query} onInputChange={setQuery}>
            <SearchField autoFocus aria-label={m.title} className="flex items-center gap-2 border-b border-line px-4">
              <Search size={16} className="shrink-0 text-ink-3" aria-hidden />
              <Input
                placeholder={m.placeholder}
                className="h-12 w-full bg-transparent text-base outline-none placeholder:text-ink-3 [&::-webkit-search-cancel-button]:hidden"
              />
            </SearchField>
            <div role="group" aria-label={m.results} tabIndex={0} className="max-h-[60vh] overflow-auto">
              <Menu
                aria-label={m.title}
                className="p-1.5 outline-none"
                onAction={(key) => run(String(key))}
                renderEmptyState={() => <p className="px-3 py-2 text-sm text-ink-3">{m.nothing}</p>}
              >
                {sections
                  .filter(([, entries]) => entries.length > 0)
                  .map(([title, entries]) => (
                    <MenuSection key={title} id={title}>
                      <Header className="px-3 pt-2 pb-1 text-2xs font-medium text-ink-3">{title}</Header>
                      {entries.map(({ id, text, detail, icon: Icon }) => (
                        <MenuItem
                          key={id}
                          id={id}
                          textValue={text}
                          className="group flex h-9 cursor-default items-center gap-3 rounded-md px-3 text-sm outline-none focus:bg-accent-soft focus:text-accent focus-visible:bg-accent-soft"
                        >
                          <Icon size={16} strokeWidth={1.75} aria-hidden />
                          <span className="truncate">{text}</span>
                          {detail && (
                            <span className="ml-auto truncate pl-4 font-mono text-xs text-ink-3">{detail}</span>
                          )}
                          <ArrowRight size={14} className="ml-auto hidden group-focus:block" aria-hidden />
                        </MenuItem>
                      ))}
                    </MenuSection>
                  ))}
              </Menu>
            </div>
          </Autocomplete>
        </Dialog>
      </Modal>
    </ModalOverlay>
  )
}
