import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Where cargo builds to. */
export const target = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL("../../target", import.meta.url));

/** The binary under test. */
export const binary = join(target, "debug/tokenhouse");

/** Where pictures of the pages go. */
export const screenshots = join(target, "screenshots");
