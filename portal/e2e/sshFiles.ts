import { writeFile } from 'node:fs/promises'

/** Writes the files `config` and `known` of a stock ssh that has the key `key`, all of them `at` one place. */
export async function writeSshFiles(at: (name: string) => string, told: { knownHosts: string; config: string }) {
  const own = [
    `UserKnownHostsFile ${at('known')}`,
    'GlobalKnownHostsFile /dev/null',
    'StrictHostKeyChecking yes',
    'BatchMode yes',
    `IdentityFile ${at('key')}`,
    'IdentitiesOnly yes',
  ]
  // The jump is another ssh, which would read the configuration of whoever runs the test.
  const jump = told.config.replace(/ProxyJump (\S+)/, `ProxyCommand ssh -F ${at('config')} -W %h:%p $1`)
  await writeFile(at('known'), `${told.knownHosts}\n`)
  await writeFile(at('config'), `${own.join('\n')}\n${jump}\n`)
}
