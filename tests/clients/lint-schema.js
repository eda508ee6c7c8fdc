// What the rules of eslint.config.js have against the SDL in the file given.
import { readFile } from 'node:fs/promises';
import { ESLint } from 'eslint';

const [file] = process.argv.slice(2);

const graphQLConfig = { schema: file };
const overrideConfig = { languageOptions: { parserOptions: { graphQLConfig } } };
const eslint = new ESLint({ overrideConfig, allowInlineConfig: false });
// As text: ESLint looks at no file outside of this folder.
const [{ messages }] = await eslint.lintText(await readFile(file, 'utf8'), { filePath: 'schema.graphql' });
console.log(JSON.stringify(messages.map(({ ruleId, line, message }) => ({ ruleId, line, message }))));
