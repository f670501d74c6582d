import { looksRight } from "../support/looks.ts";
import { expect, test } from "../support/test.ts";
import { generated } from "../support/tokens.ts";

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

const PEOPLE = [
	["people", () => "/settings/people/users"],
	["person", ({ person }) => `/settings/people/users/${person}`],
	["service-user", ({ service }) => `/settings/people/users/${service}`],
	["service-user-edit", ({ service }) => `/settings/people/users/${service}/edit`],
	["service-user-deactivate", ({ service }) => `/settings/people/users/${service}/deactivate`],
	["service-user-add", () => "/settings/people/users/add-service-user"],
	["person-add", () => "/settings/people/users/add-person"],
	["teams", () => "/settings/people/teams"],
	["tokens-service", () => "/settings/tokens/service"],
	["account", () => "/settings/account"],
] satisfies [string, (ids: { person: number; service: number }) => string][];

for (const [name, path] of PEOPLE) {
	test(`${name} looks right`, async ({ page, server, signedInAs }) => {
		const mara = await signedInAs("Admin", "Mara Lindqvist");
		await server.person("Member", "🚀".repeat(255));
		const user = await server.service(`Terraform ${name} ${Date.now()}`);
		await server.token("first", user.id);
		await page.goto(path({ person: mara.id, service: user.id }));
		await looksRight(page, name);
	});
}
