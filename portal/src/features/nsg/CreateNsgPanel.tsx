import { createNsg } from '../../api/queries/network.ts'
import { CreatePanel } from '../../parts/CreatePanel.tsx'
import { m } from './messages.ts'

export const CreateNsgPanel = ({ onClose }: { onClose: () => void }) => (
  <CreatePanel title={m.createTitle} create={createNsg} onClose={onClose} />
)
