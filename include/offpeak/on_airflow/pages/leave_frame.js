// Airflow shows this page in a frame that may not open its own pages outside of it: a link to one
// would show Airflow within Airflow. The page around us can open it. On a page of its own nothing is done.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-airflow]");
  if (!link || parent === window || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const outside = parent.document.createElement("a");
  outside.href = link.href;
  parent.document.body.append(outside);
  event.preventDefault();
  outside.click();
  outside.remove();
});
