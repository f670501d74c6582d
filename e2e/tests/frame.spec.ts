import { looksRight } from "../support/looks.ts";
import { expect, test, withAndWithoutScripts } from "../support/test.ts";

test("a page that isn't there says so and leads on", async ({ page, signedInAs }) => {
	await signedInAs("Member");
	const answer = await page.goto("/settings/nothing-here");
	expect(answer?.status()).toBe(404);
	await expect(page.getByRole("heading", { name: "There is nothing here" })).toBeVisible();
	await expect(page.getByText(/^Request /)).toBeVisible();
	await looksRight(page, "error-404");
	await page.getByRole("main").getByRole("link").click();
});

withAndWithoutScripts(() => {
	test("the colour scheme is chosen and kept", async ({ page, signedInAs }) => {
		await signedInAs("Member");
		await page.goto("/settings/tokens");
		const canvas = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
		const light = await canvas();
		await page.getByRole("button", { name: "Colour scheme" }).click();
		await page.getByRole("button", { name: "Dark" }).click();
		await expect.poll(canvas).not.toBe(light);
		const dark = await canvas();
		await page.goto("/settings/tokens");
		expect(await canvas()).toBe(dark);
		await page.getByRole("button", { name: "Colour scheme" }).click();
		await expect(page.getByRole("button", { name: "Dark" })).toHaveAttribute("aria-pressed", "true");
		await page.getByRole("button", { name: "System" }).click();
		await expect.poll(canvas).toBe(light);
	});
});

test("a colour scheme looks chosen once it is kept", async ({ page, signedInAs }) => {
	await signedInAs("Member");
	await page.goto("/settings/tokens");
	const canvas = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
	const light = await canvas();
	let release = () => {};
	const released = new Promise<void>((resolve) => {
		release = resolve;
	});
	await page.route("**/settings/theme", async (route) => {
		await released;
		await route.continue();
	});
	const asked = page.waitForRequest("**/settings/theme");
	await page.getByRole("button", { name: "Colour scheme" }).click();
	await page.getByRole("button", { name: "Dark" }).click();
	await asked;
	expect(await canvas()).toBe(light);
	release();
	await expect.poll(canvas).not.toBe(light);
});

for (const [role, sections] of [
	["Member", ["Tokens", "People"]],
	["Manager", ["Tokens", "People"]],
	["Admin", ["Tokens", "People", "Reviews", "Audit", "Settings"]],
] as const) {
	test(`the rail offers a ${role} what they may use`, async ({ page, signedInAs }) => {
		await signedInAs(role);
		await page.goto("/settings/tokens");
		const rail = page.getByRole("navigation", { name: "Main" });
		await expect(rail.getByRole("link").filter({ hasNotText: "Tokenhouse" })).toHaveText([...sections]);
		for (const section of sections) {
			await rail.getByRole("link", { name: section, exact: true }).click();
			await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
			await expect(rail.getByRole("link", { name: section, exact: true })).toHaveAttribute("aria-current", /page|true/);
		}
	});
}

test("times are told in the reader's zone", async ({ page, signedInAs }) => {
	await signedInAs("Member");
	await page.goto("/settings/tokens/generate");
	const time = page.getByRole("dialog").locator("time").first();
	await expect(time).toHaveAttribute("title", /\(UTC\+0[12]:00\)$/);
});
