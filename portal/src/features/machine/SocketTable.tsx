import type { Socket } from '../../api/types.ts'
import { Table } from '../../ui/Table.tsx'
import { m } from './messages.ts'

export function SocketTable({ sockets }: { sockets: Socket[] }) {
  if (sockets.length === 0) return <p className="px-4 pb-4 text-sm text-ink-2">{m.listeningNone}</p>
  return (
    <Table
      label={m.sockets}
      rows={sockets}
      rowId={(socket) => `${socket.protocol} ${socket.address} ${socket.port} ${socket.process?.pid}`}
      columns={[
        {
          id: 'port',
          header: m.port,
          width: 'w-20',
          cell: (socket) => <span className="tnum font-mono text-xs font-medium">{socket.port}</span>,
        },
        {
          id: 'protocol',
          header: m.protocol,
          width: 'w-24',
          cell: (socket) => <span className="text-xs">{socket.protocol.toUpperCase()}</span>,
        },
        {
          id: 'address',
          header: m.address,
          cell: (socket) => <span className="font-mono text-xs">{socket.address}</span>,
        },
        {
          id: 'process',
          header: m.process,
          cell: (socket) => <span title={socket.process?.exe}>{socket.process?.name ?? '–'}</span>,
        },
      ]}
    />
  )
}
