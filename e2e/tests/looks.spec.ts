import { looksRight } from "../support/looks.ts";
import { expect, test } from "../support/test.ts";
import { chooseAction, done, generate, generated, row } from "../support/tokens.ts";

test("pages of tokens look right", async ({ page, server, signedInAs }) => {
	test.slow();
	await signedInAs("Admin", "Mara Lindqvist");
	await page.goto("/settings/tokens");
	await looksRight(page, "tokens-none");
	const token = await generated(page, "deploy-key");
	const names = ["a".repeat(255), "🚀".repeat(255), "مفتاح التقارير الشهرية (v2)", "<script>alert(1)</script>"];
	for (const name of names) {
		await server.api("POST", "/api/user-tokens", { name, expires_in_days: 5 }, token);
	}
	await page.goto("/settings/tokens");
	await looksRight(page, "tokens");
	await page.getByRole("link", { name: "deploy-key", exact: true }).click();
	await expect(page.getByRole("heading", { level: 1 })).toContainText("deploy-key");
	const details = page.url();
	await looksRight(page, "token-details");
	for (const dialog of ["rotate", "revoke"]) {
		await page.goto(`${details}/${dialog}`);
		await looksRight(page, `token-${dialog}`);
	}
	await page.goto("/settings/tokens/generate?kind=service");
	await looksRight(page, "generate");
	await page.getByRole("button", { name: "Generate token" }).click();
	await expect(page.getByLabel("Name", { exact: true })).toHaveAttribute("aria-invalid", "true");
	await looksRight(page, "generate-wrong");
});

test("what happens to a token looks right", async ({ page, server, signedInAs }) => {
	test.slow();
	await signedInAs("Admin", "Mara Lindqvist");
	const user = await server.service(`Release Notes ${Date.now()}`);
	await page.goto(`/settings/tokens/generate?kind=service&user_id=${user.user_id}`);
	await generate(page, "weekly-release-notes");
	await looksRight(page, "token-made");
	page.on("dialog", (dialog) => void dialog.accept());
	await page.reload();
	await expect(page.getByRole("dialog")).toContainText("made already");
	await looksRight(page, "token-made-before");

	await generated(page, "deploy-key");
	await page.getByRole("link", { name: "Revoke all" }).click();
	await looksRight(page, "tokens-revoke-all");
	await page.goto("/settings/tokens");
	await chooseAction(page, "deploy-key", "Rotate");
	await page.getByRole("button", { name: "Rotate token" }).click();
	await looksRight(page, "token-rotated");
	await done(page);
	await looksRight(page, "token-details-rotated");
	await page.goto("/settings/tokens");
	await looksRight(page, "tokens-rotated");
	await chooseAction(page, "deploy-key", "Revoke");
	await page.getByRole("dialog").getByRole("button", { name: "Revoke token" }).click();
	await chooseAction(page, "deploy-key", "Delete");
	await looksRight(page, "token-delete");
});

test("requests look right", async ({ page, server, signedInAs }) => {
	test.slow();
	const mara = await signedInAs("Admin", "Mara Lindqvist");
	const user = await server.service(`Nightly Backup ${Date.now()}`);
	const token = await server.token("weekly-release-notes", user.id);
	const own = await generated(page, "deploy-key");
	const agents = ["terraform/1.9.2", "curl/8.11.0", "<script>alert(1)</script>", `long/${"x".repeat(4_000)}`];
	for (const secret of [token.bearer_token, own]) {
		for (let number = 0; number < 60; number++) {
			const path = number % 9 === 0 ? `/${"segment/".repeat(900)}` : `/api/datastores/eu-west/tables/${number % 7}`;
			const from = number % 5 === 0 ? "2001:db8:85a3:1319:8a2e:370:7334:ffff" : `10.0.3.${number % 8}`;
			await server.wants(secret, path, { "user-agent": agents[number % 4], "x-forwarded-for": from });
		}
		await fetch(`${server.origin}/api/users`, { headers: { authorization: `Bearer ${secret}` } });
	}
	const details = `/settings/tokens/${token.id}`;
	const account = `/settings/people/users/${user.id}`;
	for (const [name, path] of [
		["token-requests", details],
		["token-requests-day", `${details}?requests=day`],
		["token-requests-none", `${details}/requests?ip=192.0.2.1`],
		["token-requests-list", `${details}/requests`],
		["token-requests-wrong", `${details}/requests?ip=x`],
		["token-revoke-callers", `${details}/revoke`],
		["service-user-requests", account],
		["service-user-revoke-callers", `${account}/revoke-tokens`],
		["own-requests", `/settings/people/users/${mara.id}/requests`],
		["service-requests", "/settings/requests"],
	]) {
		await page.goto(path);
		await looksRight(page, name);
	}
	await server.api("PUT", `/api/user-tokens/${token.id}`, { revoke: true });
	await server.wants(token.bearer_token, "/api/jobs", { "x-forwarded-for": "10.0.0.7" });
	await page.goto(details);
	await looksRight(page, "token-still-tried");
	await page.goto(`${details}/report`);
	await looksRight(page, "token-report");
	await page.goto(`${account}/report`);
	await looksRight(page, "service-user-report");
	await page.goto(`/settings/tokens/service?user_id=${user.id}`);
	await expect(page.getByText("still tried")).toBeVisible();
	await looksRight(page, "tokens-still-tried");
});

test("a list of 200 tokens is read page by page", async ({ page, server, signedInAs }) => {
	test.slow();
	await signedInAs("Member", "Mia Member");
	const token = await generated(page, "first");
	for (let number = 1; number <= 200; number++) {
		const name = `pipeline-${String(number).padStart(3, "0")}`;
		await server.api("POST", "/api/user-tokens", { name, expires_in_days: 1 + number }, token);
	}
	const rows = page.getByRole("rowheader");
	await page.goto("/settings/tokens");
	await expect(rows).toHaveCount(50);
	const pages = page.getByRole("navigation", { name: "Pages" });
	await expect(pages).toContainText("1–50 of 201");
	await looksRight(page, "tokens-200");
	for (const [first, last] of [
		[51, 100],
		[101, 150],
		[151, 200],
		[201, 201],
	]) {
		await pages.getByRole("link", { name: "Next page" }).click();
		await expect(pages).toContainText(`${first}–${last} of 201`);
		await expect(rows).toHaveCount(last - first + 1);
	}
	await expect(pages.getByRole("link", { name: "Next page" })).toHaveCount(0);
	await pages.getByRole("link", { name: "Previous page" }).click();
	await expect(rows).toHaveCount(50);
	await page.getByRole("searchbox").fill("pipeline-17");
	await page.getByRole("searchbox").press("Enter");
	await expect(rows).toHaveCount(10);
	await expect(row(page, "pipeline-170")).toBeVisible();
});

test("errors look right where nobody is signed in", async ({ page }) => {
	const answer = await page.goto("/nothing-here");
	expect(answer?.status()).toBe(404);
	await looksRight(page, "error-404-signed-out");
});

const PEOPLE = [
	["people", () => "/settings/people/users"],
	["person", ({ person }) => `/settings/people/users/${person}`],
	["service-user", ({ service }) => `/settings/people/users/${service}`],
	["service-user-edit", ({ service }) => `/settings/people/users/${service}/edit`],
	["service-user-deactivate", ({ service }) => `/settings/people/users/${service}/deactivate`],
	["service-user-add", () => "/settings/people/users/add-service-user"],
	["person-add", () => "/settings/people/users/add-person"],
	["person-edit", ({ person }) => `/settings/people/users/${person}/edit`],
	["person-invite", ({ person }) => `/settings/people/users/${person}/invite`],
	["service-user-revoke-tokens", ({ service }) => `/settings/people/users/${service}/revoke-tokens`],
	["teams", () => "/settings/people/teams"],
	["team", ({ team }) => `/settings/people/teams/${team}`],
	["team-edit", ({ team }) => `/settings/people/teams/${team}/edit`],
	["team-delete", ({ team }) => `/settings/people/teams/${team}/delete`],
	["team-add-member", ({ team }) => `/settings/people/teams/${team}/add-member`],
	["requests", () => "/settings/people/requests"],
	["tokens-service", () => "/settings/tokens/service"],
	["account", () => "/settings/account"],
] satisfies [string, (ids: { person: number; service: number; team: number }) => string][];

for (const [name, path] of PEOPLE) {
	test(`${name} looks right`, async ({ page, server, signedInAs }) => {
		const mara = await signedInAs("Admin", "Mara Lindqvist");
		await server.person("Member", "🚀".repeat(255));
		const user = await server.service(`Terraform ${name} ${Date.now()}`);
		await server.token("first", user.id);
		const members = [mara.id, user.id];
		const team = await server.api<{ id: number }>("POST", "/api/teams", { name: `Data ${user.name}`, members });
		await page.goto(path({ person: mara.id, service: user.id, team: team.id }));
		await looksRight(page, name);
	});
}
