import { looksRight } from "../support/looks.ts";
import { expect, test } from "../support/test.ts";

test("a page that isn't there says so and leads on", async ({ page, signedInAs }) => {
	await signedInAs("Member");
	const answer = await page.goto("/settings/nothing-here");
	expect(answer?.status()).toBe(404);
	await expect(page.getByRole("heading", { name: "There is nothing here" })).toBeVisible();
	await expect(page.getByText(/^Request /)).toBeVisible();
	await looksRight(page, "error-404");
	await page.getByRole("main").getByRole("link").click();
});
