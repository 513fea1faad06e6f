// Runs oidc-provider on loopback: node server.mjs PORT, with INSPECTOR_SECRET in the environment.
// Everything is kept in memory; whoever types a name is logged in under it.
import { Provider } from 'oidc-provider';

const issuer = `http://127.0.0.1:${Number(process.argv[2])}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'rattler',
      application_type: 'native', // any port of 127.0.0.1 will do (RFC 8252, section 7.3)
      token_endpoint_auth_method: 'none',
      redirect_uris: ['http://127.0.0.1', 'http://127.0.0.1/callback'],
      grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
      response_types: ['code'],
    },
    {
      client_id: 'inspector', // asks whether tokens are good (RFC 7662)
      client_secret: process.env.INSPECTOR_SECRET,
      redirect_uris: [],
      grant_types: [],
      response_types: [],
    },
  ],
  scopes: ['openid', 'profile', 'offline_access', 'channel:read', 'channel:upload'],
  features: {
    deviceFlow: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
  },
});

const grants = {};
for (const [event, outcome] of [['grant.success', 'given'], ['grant.error', 'refused']]) {
  provider.on(event, (ctx) => {
    const name = `${ctx.oidc.params?.grant_type} ${outcome}`;
    grants[name] = (grants[name] ?? 0) + 1;
  });
}
provider.use(async (ctx, next) => {
  if (ctx.path === '/grants') {
    ctx.body = grants;
  } else {
    await next();
  }
});

provider.listen(Number(process.argv[2]), '127.0.0.1');
