import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { directory, Display, password, within } from './display.ts'

const run = promisify(execFile)

/** Who may log in. */
export const account = 'root'

/** Arguments: the directory of its own files. Nothing that it starts outlives it, as all of it is in a namespace of processes. */
const start = `
for own in etc run home; do mount --bind "$0/$own" "/$own" || exit 1; done
mount -t tmpfs -o mode=1777 tmpfs /tmp && mkdir -p /run/xrdp/sockdir || exit 1
xrdp-sesman --nodaemon --config /etc/xrdp/sesman.ini &
exec xrdp --nodaemon --config /etc/xrdp/xrdp.ini`
/** Until both listen, each on a loopback of its choice. */
const ready = `
for port in 3350 3389; do
  until : </dev/tcp/127.0.0.1/$port || : </dev/tcp/::1/$port; do kill -0 "$0" || exit 1; done
done 2>/dev/null`

const config = (dir: string) => `[Globals]
fork=false
port=tcp://127.0.0.1:3389
security_layer=tls
certificate=${dir}/certificate.pem
key_file=${dir}/key.pem
ssl_protocols=TLSv1.2, TLSv1.3
autorun=Xvnc
allow_channels=true
bitmap_compression=true
bulk_compression=true
max_bpp=32
new_cursors=true
use_fastpath=both
[Logging]
LogFile=${dir}/xrdp.log
EnableSyslog=false
[Channels]
cliprdr=true
drdynvc=true
[Xvnc]
name=Xvnc
lib=libvnc.so
username=ask
password=ask
ip=127.0.0.1
port=-1
code=0
`

/**
 * xrdp at RDP's port of a machine of the demo. Its display is there once [account] has logged in with the password, and has
 * a clipboard and another size whenever one is asked for.
 */
export async function startXrdp(netns: string) {
  const dir = await directory()
  await chmod(dir, 0o755)
  await mkdir(join(dir, 'run'))
  await mkdir(join(dir, 'home', account), { recursive: true })
  await cp('/etc', join(dir, 'etc'), { recursive: true, verbatimSymlinks: true })
  const edit = async (name: string, change: (text: string) => string) => {
    const path = join(dir, 'etc', name)
    await writeFile(path, change(await readFile(path, 'utf8')))
  }
  const hashed = (await run('openssl', ['passwd', '-6', password])).stdout.trim()
  await edit('passwd', (text) => text.replace(':/root:', ':/home/root:'))
  await edit('shadow', (text) => text.replace(/^root:[^:]*/m, () => `root:${hashed}`))
  await edit('xrdp/sesman.ini', (text) =>
    text.replace(/^LogFile=.*$/m, `LogFile=${dir}/sesman.log`).replaceAll('EnableSyslog=true', 'EnableSyslog=false'),
  )
  await edit('xrdp/startwm.sh', () => '#!/bin/sh\nexec xterm -geometry 20x2-0-0 -e cat\n')
  await edit('xrdp/xrdp.ini', () => config(dir))
  const [key, certificate] = [join(dir, 'key.pem'), join(dir, 'certificate.pem')]
  const made = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=vm', '-keyout', key, '-out', certificate]
  await run('openssl', made)
  const alone = ['unshare', '--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child', '--mount-proc']
  const server = spawn('ip', within(netns, [...alone, 'sh', '-c', start, dir]), { stdio: 'ignore' })
  await once(server, 'spawn')
  const authority = join(dir, 'home', account, '.Xauthority')
  // `unshare` waits for what it has started whatever else it is told.
  const display = new Display({ netns, dir, number: ':10', authority }, () => server.kill('SIGKILL'))
  try {
    await run('ip', within(netns, ['bash', '-c', ready, String(server.pid)]), { timeout: 30_000 })
  } catch (error) {
    await display.stop()
    throw error
  }
  return display
}
