import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { binary } from "./build.ts";

export type Role = "Member" | "Manager" | "Admin";

/** Somebody who has chosen a password. */
export interface Account {
	id: number;
	name: string;
	email: string;
	password: string;
	/** The cookie of the session that began with the password, as `name=value`. */
	cookie: string;
}

export const PASSWORD = "correct horse battery staple";

/** A server of its own: a free port on loopback, and a data folder that goes with it. */
export class Server {
	#people = 0;

	private constructor(
		/** Scheme, host and port. */
		readonly origin: string,
		/** The link by which the first Admin is made, if the server printed one. */
		readonly setupLink: string | undefined,
		readonly folder: string,
		/** Token of an Admin, for what a test needs and doesn't test. */
		private readonly adminToken: string,
		private readonly process: ChildProcess,
		/** Lines of the log in which the server speaks of an error of its own. */
		readonly errors: string[],
	) {}

	/** Starts one with an Admin, or one that nobody has set up. */
	static async start({ withAdmin = true } = {}): Promise<Server> {
		const folder = mkdtempSync(join(tmpdir(), "tokenhouse-e2e-"));
		const port = await freePort();
		const origin = `http://127.0.0.1:${port}`;
		const settings = `[server]\nlisten = "127.0.0.1:${port}"\npublic_url = "${origin}"\n[log]\nformat = "json"\n`;
		writeFileSync(join(folder, "tokenhouse.toml"), settings);
		const token = withAdmin ? makeAdmin(folder) : "";
		// The kernel ends the server when the worker ends, however that may be.
		const server = spawn("setpriv", ["--pdeathsig", "KILL", binary, "serve"], { cwd: folder });
		const errors: string[] = [];
		const setupLink = await listening(server, errors);
		return new Server(origin, setupLink, folder, token, server, errors);
	}

	async stop(): Promise<void> {
		const ended = once(this.process, "exit");
		this.process.kill("SIGKILL");
		await ended;
		rmSync(this.folder, { recursive: true });
	}

	/** Calls the REST API as an Admin, or with another token. */
	async api<T>(method: string, path: string, body?: unknown, token = this.adminToken): Promise<T> {
		const answer = await fetch(this.origin + path, {
			method,
			headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
			body: body === undefined ? undefined : JSON.stringify(body),
		});
		const text = await answer.text();
		if (!answer.ok) throw new Error(`${method} ${path} answered ${answer.status}: ${text}`);
		return (text ? JSON.parse(text) : undefined) as T;
	}

	/** Asks whether a program with a token may have something. */
	async wants(token: string, path: string, headers: Record<string, string> = {}): Promise<void> {
		const asked = { "x-forwarded-method": "GET", "x-forwarded-uri": path, ...headers };
		await fetch(`${this.origin}/forward-auth`, { headers: { authorization: `Bearer ${token}`, ...asked } });
	}

	/** Invites somebody; returns the one-time link. */
	async invite(role: Role, name?: string): Promise<{ id: number; name: string; email: string; link: string }> {
		const number = ++this.#people;
		const person = { name: name ?? `${role} ${number}`, email: `person-${number}@example.com` };
		const made = await this.api<{ id: number; invite_url: string }>("POST", "/api/users", {
			user_type: "Human",
			role,
			teams: [],
			...person,
		});
		return { id: made.id, link: made.invite_url, ...person };
	}

	/** Makes somebody with a password and a session. */
	async person(role: Role, name?: string): Promise<Account> {
		const { link, ...invited } = await this.invite(role, name);
		const answer = await fetch(link, {
			method: "POST",
			headers: { origin: this.origin },
			body: new URLSearchParams({ password: PASSWORD }),
			redirect: "manual",
		});
		const cookie = answer.headers.get("set-cookie")?.split(";")[0];
		if (answer.status !== 303 || !cookie) throw new Error(`an invitation answered ${answer.status}`);
		return { ...invited, password: PASSWORD, cookie };
	}

	/** Makes a service user. */
	service(name: string, role: Role = "Member"): Promise<{ id: number; user_id: string; name: string }> {
		return this.api("POST", "/api/users", { name, role, teams: [] });
	}

	/** Makes a token of a service user. */
	token(name: string, user: number): Promise<{ id: number; bearer_token: string }> {
		return this.api("POST", "/api/user-tokens", { name, user_id: user, expires_in_days: 30 });
	}
}

function makeAdmin(folder: string): string {
	const options = ["--email", "first@example.com", "--name", "First Admin", "--token", "e2e"];
	const made = execFileSync(binary, ["admin", "create", ...options], { cwd: folder, encoding: "utf8", stdio: "pipe" });
	return (JSON.parse(made) as { bearer_token: string }).bearer_token;
}

async function freePort(): Promise<number> {
	const listener = createServer().listen(0, "127.0.0.1");
	await once(listener, "listening");
	const { port } = listener.address() as AddressInfo;
	listener.close();
	await once(listener, "close");
	return port;
}

/** Waits until the server listens; returns the link it printed before that. */
async function listening(server: ChildProcess, errors: string[]): Promise<string | undefined> {
	let link: string | undefined;
	const log: string[] = [];
	createInterface({ input: server.stdout! }).on("line", (line) => (link ??= /http\S+\/setup\/\S+/.exec(line)?.[0]));
	const lines = createInterface({ input: server.stderr! });
	await new Promise<void>((resolve, reject) => {
		lines.on("line", (line) => {
			log.push(line);
			if (line.includes('"ERROR"')) errors.push(line);
			if (line.includes('"listening"')) resolve();
		});
		server.once("exit", () => reject(new Error(`the server ended: ${log.join("\n")}`)));
	});
	return link;
}
