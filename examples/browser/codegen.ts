// Types for the documents in src/, and the manifest that `carillon documents publish` takes.
import type { CodegenConfig } from '@graphql-codegen/cli';

const config: CodegenConfig = {
  schema: '../../schema/schema.graphql',
  documents: ['src/**/*.{ts,tsx}', '!src/gql/**'],
  generates: {
    'src/gql/': {
      preset: 'client',
      presetConfig: { fragmentMasking: false, persistedDocuments: { hashAlgorithm: 'sha256' } },
      config: {
        useTypeImports: true,
        strictScalars: true,
        scalars: { Cursor: 'string', DateTime: 'string', Duration: 'string', JSON: 'unknown', TimeZone: 'string' },
      },
    },
  },
};

export default config;
