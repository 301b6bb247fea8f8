import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import ts from 'typescript';
import { specifiers } from '../../scripts/entries.ts';
import { root } from './pages.ts';

/** A directory outside the tree where `execution-guard` is this repository's source. */
export class Workbench {
  readonly #directory = mkdtempSync(path.join(tmpdir(), 'execution-guard-docs-'));
  readonly #files: string[] = [];

  constructor() {
    symlinkSync(path.join(root, 'node_modules'), path.join(this.#directory, 'node_modules'), 'junction');
    const paths = Object.fromEntries(Object.entries(specifiers()).map(([name, source]) => [name, [source]]));
    this.#write('package.json', JSON.stringify({ type: 'module' }));
    this.#write('tsconfig.json', JSON.stringify({
      extends: path.join(root, 'tsconfig.json'),
      compilerOptions: {
        paths,
        allowJs: true,
        checkJs: true,
        moduleDetection: 'force',
        // An example shows how to get a value; what becomes of it is the reader's business.
        noUnusedLocals: false,
        noUnusedParameters: false,
      },
      include: ['*.ts', '*.js', '*.cjs'],
    }));
  }

  /** Adds a file whose `text` begins at `line`, so that messages name the line of the page. */
  add(name: string, text: string, line: number): void {
    this.#files.push(this.#write(name, '\n'.repeat(line - 1) + text));
  }

  /** Problems by file name, each as `line: message`. */
  check(): Map<string, string[]> {
    const { options } = ts.parseJsonConfigFileContent(
      ts.readConfigFile(path.join(this.#directory, 'tsconfig.json'), file => ts.sys.readFile(file)).config,
      ts.sys,
      this.#directory,
    );
    const program = ts.createProgram(this.#files, options);
    const own = program.getSourceFiles().filter(({ fileName }) => this.#files.includes(path.normalize(fileName)));
    return new Map(own.map(file => [path.basename(file.fileName), problems(ts.getPreEmitDiagnostics(program, file))]));
  }

  /** Runs an added file, or one of the repository by its absolute path. Rejects unless it exits with 0. */
  async run(file: string): Promise<string> {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--import', import.meta.resolve('tsx'), path.resolve(this.#directory, file)],
      {
        cwd: this.#directory,
        env: { PATH: process.env['PATH'], TSX_TSCONFIG_PATH: path.join(this.#directory, 'tsconfig.json') },
        timeout: 30_000,
      },
    );
    return stdout;
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true });
  }

  #write(name: string, text: string): string {
    const file = path.join(this.#directory, name);
    writeFileSync(file, text);
    return file;
  }
}

/** What is wrong with the syntax alone. */
export function syntaxProblems(text: string): string[] {
  const { diagnostics = [] } = ts.transpileModule(text, {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 },
    reportDiagnostics: true,
  });
  return problems(diagnostics);
}

function problems(diagnostics: readonly ts.Diagnostic[]): string[] {
  return diagnostics.map(({ file, start = 0, messageText }) => {
    const line = file ? file.getLineAndCharacterOfPosition(start).line + 1 : 0;
    return `${line}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
  });
}
