import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { looksRight } from "../support/looks.ts";
import { PASSWORD } from "../support/server.ts";
import { expect, test as base } from "../support/test.ts";
import { type Token, opens } from "../support/tokens.ts";

/** A command line that waits for a token: the address it listens on, and what it was told. */
interface CommandLine {
	redirect: string;
	told: URLSearchParams[];
}

const test = base.extend<{ host: string; commandLine: CommandLine }>({
	/** Where the command line listens. */
	host: ["127.0.0.1", { option: true }],
	commandLine: async ({ host, watched }, use) => {
		const told: URLSearchParams[] = [];
		const listener = createServer((request, response) => {
			const url = new URL(request.url ?? "", "http://127.0.0.1");
			if (url.pathname === "/callback") told.push(url.searchParams);
			response.setHeader("content-type", "text/html").end("<!doctype html><title>done</title><p>You can close this.");
		}).listen(0, host);
		await once(listener, "listening");
		const { port } = listener.address() as AddressInfo;
		const origin = `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
		watched.allowed.add(origin);
		await use({ redirect: `${origin}/callback?kept=1`, told });
		listener.closeAllConnections();
		listener.close();
	},
});

function address(redirect: string, hostname = "thinkpad.example"): string {
	return `/api/cli/authorize?${new URLSearchParams({ redirect_uri: redirect, state: "S&1", hostname })}`;
}

for (const javaScriptEnabled of [true, false]) {
	test.describe(javaScriptEnabled ? "with scripts" : "without scripts", () => {
		test.use({ javaScriptEnabled });

		test("allowed: the token lands on the command line", async ({ page, server, commandLine }) => {
			const mia = await server.person("Member", "Mia Member");
			await page.goto(address(commandLine.redirect));
			await page.getByLabel("User name or e-mail").fill(mia.email);
			await page.getByLabel("Password").fill(PASSWORD);
			await page.getByRole("button", { name: "Sign in" }).click();
			await expect(page.getByRole("main")).toContainText("thinkpad.example");
			await expect(page.getByRole("main")).toContainText("127.0.0.1");
			await page.getByText("30 days", { exact: true }).click();
			await page.getByRole("button", { name: "Allow" }).click();
			await expect(page.getByText("You can close this.")).toBeVisible();
			const [told] = commandLine.told;
			expect([...told.keys()].sort()).toEqual(["kept", "state", "token"]);
			expect(told.get("state")).toBe("S&1");
			expect(await opens(server, told.get("token")!)).toBe(true);

			await page.goto(address(commandLine.redirect));
			await page.getByRole("button", { name: "Allow" }).click();
			await expect(page.getByText("You can close this.")).toBeVisible();
			const tokens = await server.api<Token[]>("GET", "/api/user-tokens", undefined, told.get("token")!);
			const names = tokens.map(({ name }) => name);
			expect(new Set(names).size).toBe(2);
			expect(names.every((name) => name.startsWith("thinkpad.example"))).toBe(true);
		});

		test("denied: the command line is told, and there is no token", async ({ page, commandLine, signedInAs }) => {
			await signedInAs("Member");
			await page.goto(address(commandLine.redirect));
			await page.getByRole("button", { name: "Deny" }).click();
			await expect(page.getByText("You can close this.")).toBeVisible();
			const told = Object.fromEntries(commandLine.told[0]);
			expect(told).toEqual({ kept: "1", error: "access_denied", state: "S&1" });
			await page.goto("/settings/tokens");
			await expect(page.getByText("No token yet")).toBeVisible();
		});
	});
}

test.describe("over IPv6", () => {
	test.use({ host: "::1" });

	test("allowed: the token lands on the command line", async ({ page, server, commandLine, signedInAs }) => {
		await signedInAs("Member");
		await page.goto(address(commandLine.redirect));
		await expect(page.getByRole("main")).toContainText("http://[::1]:");
		await page.getByRole("button", { name: "Allow" }).click();
		await expect(page.getByText("You can close this.")).toBeVisible();
		expect(await opens(server, commandLine.told[0].get("token")!)).toBe(true);
	});
});

for (const redirect of [
	"https://127.0.0.1:53682/callback",
	"http://127.0.0.1/callback",
	"http://127.1:53682/callback",
	"http://evil.example:53682/callback",
	"http://127.0.0.1.evil.example:53682/",
	"http://127.0.0.1:53682@evil.example:53682/",
	"http://127.0.0.1:53682/callback#fragment",
	"javascript:alert(1)",
	"",
]) {
	test(`never led to: ${redirect || "nowhere"}`, async ({ page, server, signedInAs }) => {
		await signedInAs("Member");
		const answer = await page.goto(address(redirect));
		expect(answer?.status()).toBe(400);
		expect(new URL(page.url()).origin).toBe(server.origin);
		await expect(page.getByRole("button", { name: "Allow" })).toHaveCount(0);
	});
}

test("the page looks right, whatever the host is called", async ({ page, commandLine, signedInAs }) => {
	await signedInAs("Admin", "Mara Lindqvist");
	await page.goto(address(commandLine.redirect, "mara-thinkpad-x1.fritz.box"));
	await looksRight(page, "hand-over");
	const hostile = "<script>alert(1)</script>" + "🚀".repeat(40);
	await page.goto(address(commandLine.redirect, hostile));
	await expect(page.getByRole("main")).toContainText("<script>alert(1)</script>");
	await looksRight(page, "hand-over-hostile");
	await page.goto(address("http://evil.example:1/"));
	await looksRight(page, "hand-over-refused");
});

test("a page that was answered already asks again, and looks right", async ({ page, commandLine, signedInAs }) => {
	await signedInAs("Member", "Mia Member");
	await page.goto(address(commandLine.redirect));
	const number = page.locator("input[name=form]");
	const answered = await number.inputValue();
	await page.getByRole("button", { name: "Allow" }).click();
	await expect(page.getByText("You can close this.")).toBeVisible();
	await page.goto(address(commandLine.redirect));
	await number.evaluate((input, value) => ((input as HTMLInputElement).value = value), answered);
	await page.getByRole("button", { name: "Allow" }).click();
	await expect(page.getByText(/This was answered already/)).toBeVisible();
	await looksRight(page, "hand-over-answered");
});
