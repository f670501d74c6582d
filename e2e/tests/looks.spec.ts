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
