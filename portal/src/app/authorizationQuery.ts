/** What `az login` brought, byte for byte: the router reads search params as values and writes them back in its own way. */
export const authorizationQuery = location.pathname === '/authorize' ? location.search.slice(1) : ''
