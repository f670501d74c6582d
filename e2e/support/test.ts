import { type BrowserContext, type Page, test as base, expect } from "@playwright/test";
import { type Account, type Role, Server } from "./server.ts";

interface Fixtures {
	/** Makes a person and signs the page in as them. */
	signedInAs: (role: Role, name?: string) => Promise<Account>;
	/** Opens a page in a browser of its own, where nobody is signed in. */
	elsewhere: () => Promise<Page>;
	/** Complaints of the browser and of the server, and requests to other hosts: with any, a test has failed. */
	watched: Watched;
}

interface Watched {
	complaints: string[];
	/** Origins besides the server's that a page may lead to. */
	allowed: Set<string>;
}

interface WorkerFixtures {
	server: Server;
}

export const test = base.extend<Fixtures, WorkerFixtures>({
	server: [
		async ({}, use) => {
			const server = await Server.start();
			await use(server);
			await server.stop();
		},
		{ scope: "worker" },
	],
	baseURL: async ({ server }, use) => use(server.origin),
	signedInAs: async ({ server, context }, use) => {
		await use(async (role, name) => {
			const account = await server.person(role, name);
			await signIn(context, server, account);
			return account;
		});
	},
	elsewhere: async ({ browser, watched }, use) => {
		const contexts: BrowserContext[] = [];
		await use(async () => {
			const context = await browser.newContext();
			contexts.push(context);
			watch(context, watched);
			return context.newPage();
		});
		for (const context of contexts) await context.close();
	},
	watched: [
		async ({ context, server }, use) => {
			const watched = { complaints: [], allowed: new Set<string>() };
			watch(context, watched);
			await use(watched);
			expect([...watched.complaints, ...server.errors.splice(0)]).toEqual([]);
		},
		{ auto: true },
	],
});

export { expect };

/** Gives a browser the session of an account. */
export async function signIn(context: BrowserContext, server: Server, account: Account): Promise<void> {
	const [name, value] = account.cookie.split("=", 2);
	await context.addCookies([{ name, value, url: server.origin, httpOnly: true, sameSite: "Lax" }]);
}

/** Notes what a page should never do: to ask another host, to write an error to the console, to break its policy. */
function watch(context: BrowserContext, { complaints, allowed }: Watched): void {
	const documents = new Set<string>();
	let origin: string | undefined;
	context.on("request", (request) => {
		const url = new URL(request.url());
		if (url.protocol === "blob:" || url.protocol === "data:") return;
		origin ??= url.origin;
		if (request.isNavigationRequest()) documents.add(request.url());
		if (url.origin !== origin && !allowed.has(url.origin)) complaints.push(`asked another host: ${url.origin}`);
	});
	context.on("console", (message) => {
		// Browsers also report the status of a page that is an answer such as 404 or 422.
		const isStatus = message.text().startsWith("Failed to load resource") && documents.has(message.location().url);
		if (["error", "warning"].includes(message.type()) && !isStatus) complaints.push(message.text());
	});
	context.on("weberror", (error) => complaints.push(error.error().message));
}

/** What tells of something that has just happened. */
export function toast(page: Page) {
	return page.getByRole("status").filter({ hasText: /./ });
}

/** Declares tests twice: scripts only improve the pages, so everything is done with them and without. */
export function withAndWithoutScripts(declare: () => void): void {
	for (const javaScriptEnabled of [true, false]) {
		test.describe(javaScriptEnabled ? "with scripts" : "without scripts", () => {
			test.use({ javaScriptEnabled });
			declare();
		});
	}
}
