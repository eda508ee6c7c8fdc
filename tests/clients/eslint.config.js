// The schema rules of @graphql-eslint, all that its authors recommend and those for Relay. Where one of them asks
// for less or for something else here, it is said why.
import graphql from '@graphql-eslint/eslint-plugin';

const { configs, parser } = graphql;

export const rules = {
  ...configs['flat/schema-recommended'].rules,
  ...configs['flat/schema-relay'].rules,

  // Of the recommended ones it wants descriptions of types and root fields alone.
  '@graphql-eslint/require-description': [
    'error',
    {
      types: true,
      rootField: true,
      DirectiveDefinition: true,
      EnumValueDefinition: true,
      FieldDefinition: true,
      InputValueDefinition: true,
    },
  ],

  '@graphql-eslint/strict-id-in-types': [
    'error',
    {
      exceptions: {
        // A page, a place in it, an answer and an error are not things that one could ask for again.
        suffixes: ['Connection', 'Edge', 'Payload', 'Error'],
        types: [
          // Values: parts of what they are found in, the same when all they hold is the same.
          'Action', 'Budget', 'HttpAction', 'Label', 'LogLine', 'PageInfo', 'Progress', 'Recurrence',
          'RecurrencePreview', 'RunAction', 'ScheduledTask',
          // These go by their names, or are the only one there is.
          'Handler', 'Queue', 'Viewer',
          // A line of a record, which is read in its order and by nothing else.
          'AuditEntry',
        ],
      },
    },
  ],

  // Relay has connections with arguments in one direction or in both; ours are for lists that are read from one end.
  '@graphql-eslint/relay-arguments': ['error', { includeBoth: false }],

  '@graphql-eslint/relay-edge-types': [
    'error',
    {
      withEdgeSuffix: true,
      // Relay does not ask for it. All nodes implement Node but AuditEntry, as a test of ours has it.
      shouldImplementNode: false,
      // Relay does not ask for it. Labels and errors come whole, and the `nodes` of a page are for who needs no cursors.
      listTypeCanWrapOnlyEdgeType: false,
    },
  ],

  // Not among the recommended ones, as @oneOf is new.
  '@graphql-eslint/require-nullable-fields-with-oneof': 'error',
};

export default [
  {
    files: ['**/*.graphql'],
    plugins: { '@graphql-eslint': graphql },
    languageOptions: { parser },
    rules,
  },
];
